"""Looking at what a network computes inside, by hooks that exist for one forward pass: copies of it carry none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from torch import Tensor, nn

from resnet_tl.tuning.regularisers.base import Seen

T = TypeVar("T")


class Watch:
    """Runs a network and notes outputs of its stages, and the input and output of its classifier.

    Args:
        stages: the modules of each, of which the last one makes the stage's output.
        classifier: the module whose input is the features `[N, C]`; None: they are not noted.
        last: the module whose output is the logits `[N, K]`; None: they are not noted.
    """

    def __init__(
        self,
        stages: Mapping[str, Sequence[nn.Module]],
        classifier: nn.Module | None,
        last: nn.Module | None = None,
    ) -> None:
        self.stages = {name: modules[-1] for name, modules in stages.items()}
        self.classifier, self.last = classifier, last

    def __call__(self, run: Callable[[], T]) -> tuple[T, Seen]:
        """Returns the result of `run`, and what it computed on the way."""
        maps: dict[str, Tensor] = {}
        features: list[Tensor] = []
        outputs: list[Tensor] = []

        def noting(name: str) -> Callable[..., None]:
            return lambda module, inputs, output: maps.update({name: output})

        hooks = [module.register_forward_hook(noting(name)) for name, module in self.stages.items()]
        if self.classifier is not None:
            hooks.append(self.classifier.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0])))
        if self.last is not None:
            hooks.append(self.last.register_forward_hook(lambda module, inputs, output: outputs.append(output)))
        try:
            result = run()
        finally:
            for hook in hooks:
                hook.remove()
        return result, Seen(maps, features[0] if features else None, outputs[0] if outputs else None)
