"""L2-SP (arXiv:1802.01483): weight decay towards the loaded weights instead of towards zero."""

from __future__ import annotations

import torch
from torch import Tensor

from resnet_tl.ranges import NonNegativeFloat, checked
from resnet_tl.tuning.regularisers.base import Regulariser, Start
from resnet_tl.tuning.regularisers.digests import digest_of


@checked("regulariser")
class L2SP(Regulariser):
    """Adds the gradient of `strength / 2 * |w - start|^2`, over weights of stages with loaded weights.

    These stages have no weight decay. Norms and biases are not penalised, and neither is the new head, which has the
    optimizer's weight decay (the paper's beta). Like weight decay the gradient is added once per optimizer step, and
    `train/loss` does not contain the penalty; `train/l2_sp` has it, from before each step that is logged.

    Args:
        strength: alpha of the paper, which searches it on a logarithmic scale; 0.01 to 0.1 are usual.
    """

    name = "l2_sp"

    def __init__(self, strength: NonNegativeFloat = 0.01) -> None:
        self.strength = strength

    def start(self, start: Start) -> None:
        self.check_loaded(start)
        self.undecayed = list(start.loaded) if self.strength else []
        parameters = [p for stage in start.loaded for module in start.stages[stage] for p in module.parameters()]
        self.weights = [parameter for parameter in parameters if parameter.ndim > 1]
        self.loaded = [weight.detach().clone() for weight in self.weights]
        self.digest_of_loaded = digest_of(self.loaded)  # once: each checkpoint has it

    def add_gradients(self) -> None:
        """Adds to the gradients that there are: frozen weights have none."""
        for index, weight in enumerate(self.weights):
            if weight.grad is not None:
                weight.grad.add_(weight.detach() - self._loaded(index), alpha=self.strength)

    def value(self) -> Tensor:
        trained = [index for index, weight in enumerate(self.weights) if weight.grad is not None]
        distances = [(self.weights[index].detach() - self._loaded(index)).square().sum() for index in trained]
        return self.strength / 2 * torch.stack(distances or [torch.zeros(())]).sum()

    def digest(self) -> str:
        return self.digest_of_loaded

    def _loaded(self, index: int) -> Tensor:
        # Copied at setup, when the module was still on the CPU.
        self.loaded[index] = loaded = self.loaded[index].to(self.weights[index].device)
        return loaded
