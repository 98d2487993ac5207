"""L2-SP (arXiv:1802.01483): weight decay towards the loaded weights instead of towards zero."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from resnet_tl.errors import RecipeError, RunError


class Anchor:
    """Adds the gradient of the penalty `strength / 2 * |w - start|^2`. Norms and biases are not penalised.

    Args:
        stages: those with loaded weights, before training changes them.
    """

    def __init__(self, stages: Mapping[str, Sequence[nn.Module]], strength: float) -> None:
        if not stages:
            raise RecipeError("tuning.l2_sp pulls towards loaded weights, but none were loaded: name backbone.weights")
        self.stages, self.strength = list(stages), strength
        parameters = [p for modules in stages.values() for module in modules for p in module.parameters()]
        self.weights = [parameter for parameter in parameters if parameter.ndim > 1]
        self.start = [weight.detach().clone() for weight in self.weights]

    def add_gradients(self) -> None:
        """Adds to the gradients that there are."""
        for index, weight in enumerate(self.weights):
            if weight.grad is not None:
                # Copied at setup, when the module was still on the CPU.
                self.start[index] = start = self.start[index].to(weight.device)
                weight.grad.add_(weight.detach() - start, alpha=self.strength)

    def digest(self) -> str:
        """Returns a digest of the loaded weights: a resumed run must load the same, as checkpoints do not hold them."""
        content = hashlib.sha256()
        for start in self.start:
            content.update(start.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return content.hexdigest()

    def check(self, digest: str) -> None:
        """Raises RunError if the run started from other weights."""
        if digest != self.digest():
            raise RunError(
                "tuning.l2_sp pulls towards the weights that the run started from, but other weights are "
                "loaded now; name the same backbone.weights"
            )
