"""Co-Tuning (You et al., "Co-Tuning for Transfer Learning", NeurIPS 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_tl.errors import RecipeError
from resnet_tl.ranges import NonNegativeFloat, checked
from resnet_tl.tuning.regularisers.base import Regulariser, Start, Step


@checked("regulariser")
class CoTuning(Regulariser):
    """Trains the weight file's own classifier further, on what its classes say of the new ones.

    Before training, the loaded network with its own classifier predicts every training image; the mean of the
    probabilities over the images of a new class is that class's distribution over the old ones (the paper's category
    relationship, by its direct approach, without calibration). The term is `strength` times the cross-entropy of the
    old classifier, which is trained next to the new one, with the distribution of each image's class. No second network
    runs in training.

    Args:
        strength: lambda of the paper; the default is that of the authors' library (thuml/Transfer-Learning-Library).
    """

    name = "co_tuning"
    reads = ("features",)
    layers: nn.Linear

    def __init__(self, strength: NonNegativeFloat = 2.3) -> None:
        self.strength = strength
        self.relation: Tensor | None = None

    def start(self, start: Start) -> None:
        self.check_loaded(start)
        self.check_one_class(start)
        self.layers = start.module.old_classifier("CoTuning")
        self.classes = len(start.module.classes)

    def begin(self, module: Any, batches: Iterable[tuple[Tensor, Tensor]] | None) -> None:
        if self.relation is not None:  # the run resumes
            return
        if batches is None:
            raise RecipeError(
                "tuning.regularisers: CoTuning predicts all training images before training, for which it needs a data "
                "module with fixed_images, as those of resnet_tl"
            )
        sums = torch.zeros(self.classes, self.layers.weight.shape[0], dtype=torch.float64)
        counts = torch.zeros(self.classes, dtype=torch.float64)
        with torch.no_grad():
            for features, targets in batches:
                probabilities = self.layers(features.to(self.layers.weight)).double().softmax(1).cpu()
                sums.index_add_(0, targets.cpu(), probabilities)
                counts += targets.cpu().bincount(minlength=self.classes)
        # A class without images has none to be used for.
        self.relation = (sums / counts.clamp(min=1)[:, None]).float()

    def penalty(self, step: Step) -> Tensor:
        features, targets = step.network.features, step.targets
        assert features is not None
        assert self.relation is not None
        self.relation = self.relation.to(features.device)
        answers = self.layers(features.to(self.layers.weight.dtype)).to(features.dtype)
        relation = self.relation.to(answers.dtype)
        expected = targets.to(answers.dtype) @ relation if targets.is_floating_point() else relation[targets]
        return self.strength * F.cross_entropy(answers, expected)

    def state_dict(self) -> dict[str, Any]:
        return {"relation": None if self.relation is None else self.relation.cpu()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.relation = state["relation"]
