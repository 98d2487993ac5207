"""LwF, learning without forgetting (arXiv:1606.09282)."""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn import functional as F

from resnet_tl.ranges import NonNegativeFloat, PositiveFloat, checked
from resnet_tl.tuning.regularisers.base import Regulariser, Start, Step, learns


@checked("regulariser")
class LwF(Regulariser):
    """Keeps the answers of the weight file's own classifier on the new images.

    The old classifier is trained next to the new one, on the same features. The term is `strength` times the divergence
    of its softened probabilities from those of the loaded network (the paper's distillation loss, less a constant that
    makes it 0 where nothing is forgotten). The loaded network runs on every batch. While everything before the head is
    frozen there is no term: the paper trains the new classifier alone at first.

    Args:
        strength: lambda_o of the paper, 1 in most of its experiments.
        temperature: T of the paper, 2.
    """

    name = "lwf"
    reads = ("features",)
    layers: nn.Linear
    source = True

    def __init__(self, strength: NonNegativeFloat = 1.0, temperature: PositiveFloat = 2.0) -> None:
        self.strength, self.temperature = strength, temperature

    def start(self, start: Start) -> None:
        self.check_loaded(start)
        self.layers = start.module.old_classifier("LwF")
        self.loaded = copy.deepcopy(self.layers).requires_grad_(False)
        self.body = start.modules_until()

    def reads_images(self) -> bool:
        return learns(self.body)

    def penalty(self, step: Step) -> Tensor | None:
        if step.source is None:
            return None
        assert step.network.features is not None
        assert step.source.features is not None
        features = step.network.features
        answers = self.layers(features.to(self.layers.weight.dtype)).to(features.dtype)
        expected = self.loaded.to(features)(step.source.features.to(features.dtype))
        return self.strength * F.kl_div(
            (answers / self.temperature).log_softmax(1),
            (expected / self.temperature).log_softmax(1),
            reduction="batchmean",
            log_target=True,
        )
