"""L2-SP (arXiv:1802.01483): weights are pulled towards where they started instead of towards zero."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from resnet_tl.errors import RecipeError, RunError


class Anchor:
    """The gradient of `strength / 2 * |w - start|^2`, as a term of the loss adds it. Norms and biases are free.

    Args:
        stages: those whose weights were loaded, as they were loaded.
    """

    def __init__(self, stages: Mapping[str, Sequence[nn.Module]], strength: float) -> None:
        if not stages:
            raise RecipeError("tuning.l2_sp pulls towards loaded weights, but none were loaded: name backbone.weights")
        self.stages, self.strength = list(stages), strength
        parameters = [p for modules in stages.values() for module in modules for p in module.parameters()]
        self.weights = [parameter for parameter in parameters if parameter.ndim > 1]
        self.start = [weight.detach().clone() for weight in self.weights]

    def pull(self) -> None:
        """Add to the gradients, where there are any."""
        for place, weight in enumerate(self.weights):
            if weight.grad is not None:
                self.start[place] = start = self.start[place].to(weight.device)
                weight.grad.add_(weight.detach() - start, alpha=self.strength)

    def digest(self) -> str:
        """Of the start: a run that goes on must have the same, and it is not in the checkpoint."""
        content = hashlib.sha256()
        for start in self.start:
            content.update(start.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return content.hexdigest()

    def check(self, digest: str) -> None:
        """Raises RunError where the run began from other weights."""
        if digest != self.digest():
            raise RunError(
                "tuning.l2_sp pulls towards the weights that the run began from, but those loaded now are others"
            )
