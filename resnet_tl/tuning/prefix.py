"""The stages frozen from a network's input on, run for what they are: a constant function.

In their place runs a copy whose batch norms are folded into the convolutions, without an autograd graph, compiled on
request. What a network must offer for it: `stages()`, `cuts()`, `maps_after()`, `folded_until()` and a `prefix` that
it runs when there is one, as `resnet_tl.models.network.Network` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from resnet_tl.errors import RunError
from resnet_tl.structures.records import Features


class Divisible(Protocol):
    """A network that can be cut in two between its stages."""

    prefix: Callable[[Tensor], Features] | None

    def stages(self) -> dict[str, list[nn.Module]]: ...

    def cuts(self) -> list[str]: ...

    def folded_until(self, stage: str) -> Any: ...


def install(module: nn.Module, *, compiled: bool = False) -> str | None:
    """Let every network inside `module` run its frozen stages cheaply, from now on and as long as they are frozen.

    Returns:
        A sentence on what is run that way or cannot be; None where nothing is frozen from the input on.
    """
    remove(module)
    for network in divisible(module):
        if (stage := last_frozen(network)) is not None:
            network.prefix = Prefix(network, stage, compiled=compiled)
    frozen = [network.prefix for network in divisible(module) if isinstance(network.prefix, Prefix)]
    if frozen:
        return "; ".join(map(str, frozen))
    if divisible(module) or not any(parameter.requires_grad is False for parameter in module.parameters()):
        return None
    return (
        f"{type(module).__name__} holds no network of resnet_tl: its frozen stages run without a graph, "
        "but their norms are not folded, nothing is compiled, and no features are kept"
    )


def remove(module: nn.Module) -> None:
    for network in divisible(module):
        network.prefix = None


def divisible(module: nn.Module) -> list[Any]:
    """The networks in `module` that can be cut."""
    return [part for part in module.modules() if hasattr(part, "folded_until")]


def last_frozen(network: Divisible) -> str | None:
    """The deepest stage, of those behind which the network can be cut, up to which everything is frozen."""
    frozen = list(_frozen_from_input(network.stages()))
    return next((stage for stage in reversed(network.cuts()) if stage in frozen), None)


class Prefix:
    """The stages of `network` up to `stage` as a folded copy that follows their weights.

    It belongs to no module: no parameter or state is registered, and where what holds it is copied or pickled, the
    copy has None in its place and runs its own stages.
    """

    def __init__(self, network: Divisible, stage: str, *, compiled: bool = False) -> None:
        self.network, self.stage, self.compiled = network, stage, compiled
        names = list(network.stages())
        self.stages = names[: names.index(stage) + 1]
        self._parts = [part for name in self.stages for module in network.stages()[name] for part in module.modules()]
        self._weights: list[tuple[int, int]] = []
        self._statistics: list[tuple[int, int]] = []
        self._seen: list[Tensor] = []
        self._folded: Any = None
        self._run: Callable[[str, Tensor], dict[str, Tensor]]

    def __call__(self, images: Tensor) -> Features:
        """Normalised images `[N, C, H, W]` -> the maps that later stages read."""
        with torch.inference_mode(False), torch.no_grad():
            self._follow()
            inputs = images.clone() if images.is_inference() else images  # one kind of tensor: compiled once
            maps = self._run(self.stage, inputs)
        return Features(maps, (images.shape[-2], images.shape[-1]), self.stage)

    def __str__(self) -> str:
        span = self.stages[0] if len(self.stages) == 1 else f"{self.stages[0]} to {self.stage}"
        return f"{span}: frozen, run folded and without a graph{', compiled' if self.compiled else ''}"

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def state(self) -> dict[str, Tensor]:
        """What it computes with: the folded weights, by name."""
        with torch.inference_mode(False), torch.no_grad():
            self._follow()
        return self._folded.state_dict()

    def _follow(self) -> None:
        """Fold anew where the weights were written to or moved since: a load, a device, an average.

        DistributedDataParallel writes the buffers in every step, mostly what they were: so their values decide.
        """
        weights, statistics = _stamps(self._parts, "_parameters"), _stamps(self._parts, "_buffers")
        if weights == self._weights and statistics == self._statistics:
            return
        buffers = list(_tensors(self._parts, "_buffers"))
        if weights != self._weights or not _equal(buffers, self._seen):
            self._fold()
            self._seen = [buffer.clone() for buffer in buffers]
        self._weights, self._statistics = weights, statistics

    def _fold(self) -> None:
        fresh = self.network.folded_until(self.stage)
        if self._folded is not None and _kind(fresh) == _kind(self._folded):
            self._folded.load_state_dict(fresh.state_dict())  # in place: what is compiled stays good
            return
        self._folded = fresh
        self._run = self._compile(fresh.maps_after) if self.compiled else fresh.maps_after

    def _compile(self, run: Callable[..., Any]) -> Callable[..., Any]:
        fast = torch.compile(run)

        def translate_errors(*arguments: Any) -> Any:
            try:
                return fast(*arguments)
            except torch._dynamo.exc.TorchDynamoException as error:
                reason = str(error).strip().partition("\n")[0]
                raise RunError(f"tuning.compile is true, but torch.compile fails here: {reason}") from error

        return translate_errors


def _frozen_from_input(stages: Mapping[str, Sequence[nn.Module]]) -> Iterator[str]:
    for name, modules in stages.items():
        if any(parameter.requires_grad for module in modules for parameter in module.parameters()):
            return
        if any(part.training for module in modules for part in module.modules()):
            return
        yield name


def _tensors(parts: Sequence[nn.Module], kind: str) -> Iterator[Tensor]:
    return (tensor for part in parts for tensor in vars(part)[kind].values() if tensor is not None)


def _stamps(parts: Sequence[nn.Module], kind: str) -> list[tuple[int, int]]:
    """Where each tensor lies and how often it was written to."""
    return [(tensor.data_ptr(), tensor._version) for tensor in _tensors(parts, kind)]


def _equal(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(tensors) == len(others) and all(
        one.device == other.device and torch.equal(one, other) for one, other in zip(tensors, others, strict=True)
    )


def _kind(module: nn.Module) -> list[Any]:
    return [(tensor.device, tensor.dtype) for tensor in module.state_dict().values()]
