"""The frozen prefix: the stages frozen from a network's input on, run as the constant function that they are.

A copy runs in their place, with its batch norms folded into the convolutions, without an autograd graph and, on
request, compiled. A network takes part by the members of `resnet_tl.tuning.protocols.Network`; it runs its `prefix`
where it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from resnet_tl.errors import RunError
from resnet_tl.structures.records import Features

if TYPE_CHECKING:
    from resnet_tl.tuning.protocols import Network


def install(module: nn.Module, *, compiled: bool = False, mode: str = "default", bf16: bool = False) -> str | None:
    """Installs a prefix in every network inside `module` that is frozen from its input on.

    Returns:
        A sentence about what runs this way or cannot; None if nothing is frozen from the input on.
    """
    remove(module)
    for network in networks_in(module):
        if (stage := last_frozen_stage(network)) is not None:
            network.prefix = Prefix(network, stage, compiled=compiled, mode=mode, bf16=bf16)
    frozen = [network.prefix for network in networks_in(module) if isinstance(network.prefix, Prefix)]
    if frozen:
        return "; ".join(map(str, frozen))
    if networks_in(module) or not any(parameter.requires_grad is False for parameter in module.parameters()):
        return None
    return (
        f"{type(module).__name__} holds no resnet_tl.Network: its frozen stages run without a graph, "
        "but their norms are not folded, nothing is compiled, and no features are cached"
    )


def remove(module: nn.Module) -> None:
    for network in networks_in(module):
        network.prefix = None


def networks_in(module: nn.Module) -> list[Any]:
    """Returns the networks in `module` that can have a prefix."""
    return [part for part in module.modules() if hasattr(part, "folded_until")]


def last_frozen_stage(network: Network) -> str | None:
    """Returns the deepest stage after which the network can be cut and up to which everything is frozen."""
    frozen = list(_frozen_from_input(network.stages()))
    return next((stage for stage in reversed(network.cuts()) if stage in frozen), None)


class Prefix:
    """A folded copy of the stages of `network` up to `stage`, folded again whenever their weights change.

    It is no module: it registers no parameters or state. A copied or pickled network has None in its place and runs
    its own stages.
    """

    def __init__(
        self, network: Network, stage: str, *, compiled: bool = False, mode: str = "default", bf16: bool = False
    ) -> None:
        self.network, self.stage = network, stage
        self.compiled, self.mode, self.bf16 = compiled, mode, bf16
        names = list(network.stages())
        self.stages = names[: names.index(stage) + 1]
        self._parts = [part for name in self.stages for module in network.stages()[name] for part in module.modules()]
        self._weights: list[tuple[int, int]] = []
        self._statistics: list[tuple[int, int]] = []
        self._folded_buffers: list[Tensor] = []
        self._folded: Any = None
        self._run: Callable[[str, Tensor], dict[str, Tensor]]

    def __call__(self, images: Tensor) -> Features:
        """Returns the maps `{level: [N, C', H', W']}` that later stages read, of normalised images `[N, C, H, W]`."""
        with torch.inference_mode(False), torch.no_grad():
            self._refresh()
            # Inference tensors would be compiled a second time.
            inputs = images.clone() if images.is_inference() else images
            maps = self._maps_of(inputs)
        return Features(maps, (images.shape[-2], images.shape[-1]), self.stage)

    def _maps_of(self, images: Tensor) -> dict[str, Tensor]:
        if images.device.type == "cpu" and not images.isfinite().all():
            # Fused convolutions would make 0 of NaN and so hide it from the loss.
            return self.network.maps_after(self.stage, images)
        return self._run_in_bf16(images) if self.bf16 else self._run(self.stage, images)

    def _run_in_bf16(self, images: Tensor) -> dict[str, Tensor]:
        """Returns maps in the precision that they would have without: autocast's, or the images'."""
        device = images.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else images.dtype
        with torch.autocast(device, enabled=False):
            maps = self._run(self.stage, images.bfloat16())
        return {level: value.to(dtype) for level, value in maps.items()}

    def __str__(self) -> str:
        span = self.stages[0] if len(self.stages) == 1 else f"{self.stages[0]} to {self.stage}"
        return f"{span}: frozen, run folded and without a graph{', in bf16' * self.bf16}{', compiled' * self.compiled}"

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def state(self) -> dict[str, Tensor]:
        """Returns the folded weights by name."""
        with torch.inference_mode(False), torch.no_grad():
            self._refresh()
        return self._folded.state_dict()

    def _refresh(self) -> None:
        """Folds again if the weights were written or moved: loaded, sent to a device, swapped for an average.

        DistributedDataParallel writes the buffers in every step, usually without a change, so values are compared.
        """
        weights, statistics = _versions(self._parts, "_parameters"), _versions(self._parts, "_buffers")
        if weights == self._weights and statistics == self._statistics:
            return
        buffers = list(_tensors(self._parts, "_buffers"))
        if weights != self._weights or not _equal(buffers, self._folded_buffers):
            self._fold()
            self._folded_buffers = [buffer.clone() for buffer in buffers]
        self._weights, self._statistics = weights, statistics

    def _fold(self) -> None:
        folded = self.network.folded_until(self.stage)
        if self.bf16:
            folded = folded.bfloat16()
        if self._folded is not None and _types(folded) == _types(self._folded):
            self._folded.load_state_dict(folded.state_dict())  # in place: the compiled function stays valid
            return
        self._folded = folded
        self._run = self._compile(folded.maps_after) if self.compiled else folded.maps_after

    def _compile(self, run: Callable[..., Any]) -> Callable[..., Any]:
        compiled = torch.compile(run, mode=self.mode)

        def run_compiled(*arguments: Any) -> Any:
            try:
                return compiled(*arguments)
            except torch._dynamo.exc.TorchDynamoException as error:
                reason = str(error).strip().partition("\n")[0]
                raise RunError(f"tuning.compile is not off, but torch.compile fails here: {reason}") from error

        return run_compiled


def _frozen_from_input(stages: Mapping[str, Sequence[nn.Module]]) -> Iterator[str]:
    for name, modules in stages.items():
        if any(parameter.requires_grad for module in modules for parameter in module.parameters()):
            return
        if any(part.training for module in modules for part in module.modules()):
            return
        yield name


def _tensors(parts: Sequence[nn.Module], kind: str) -> Iterator[Tensor]:
    return (tensor for part in parts for tensor in vars(part)[kind].values() if tensor is not None)


def _versions(parts: Sequence[nn.Module], kind: str) -> list[tuple[int, int]]:
    """Returns each tensor's address and how often it was written."""
    # Autograd's version counter sees writes in place, the address sees tensors that were replaced or moved.
    return [(tensor.data_ptr(), tensor._version) for tensor in _tensors(parts, kind)]


def _equal(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    if [tensor.device for tensor in tensors] != [tensor.device for tensor in others]:
        return False
    differ = [(one != other).any() for one, other in zip(tensors, others, strict=True)]
    return not torch.stack(differ).any()  # one wait for the device, not one for each tensor


def _types(module: nn.Module) -> list[Any]:
    return [(tensor.device, tensor.dtype) for tensor in module.state_dict().values()]
