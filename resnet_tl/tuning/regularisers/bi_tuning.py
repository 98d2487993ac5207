"""Bi-Tuning (arXiv:2011.06182): contrast between the images of a batch and those of earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_tl.errors import RecipeError
from resnet_tl.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, checked
from resnet_tl.tuning.ranks import gather
from resnet_tl.tuning.regularisers.base import Regulariser, Start, Step


@checked("regulariser")
class BiTuning(Regulariser):
    """Two contrastive terms, over each image and the last images of every class.

    Of normalised features (with a 1 appended for the bias) the class's normalised weights shall be nearest to those of
    its own images; and an image's normalised projection, by a linear layer that is trained next to the classifier,
    nearest to those of images of its class. Both are cross-entropies over cosines divided by the temperature, with the
    image itself and the stored ones of its class as equal positives; as in the authors' library the classifier's
    weights get no gradient. Their sum times `strength` is the term.

    Keys are what the network computed when it saw an image, one view of it: the paper computes them from a second view
    by a moving average of the network, which would run a second network. All ranks store the images of all.

    Args:
        strength: 1 in the authors' library (thuml/Transfer-Learning-Library), as are the other defaults.
        keys: images that are stored of each class.
        temperature: of the cosines.
        projection: channels of the projection.
    """

    name = "bi_tuning"
    reads = ("features",)
    layers: nn.Linear
    splits = False

    def __init__(
        self,
        strength: NonNegativeFloat = 1.0,
        keys: PositiveInt = 40,
        temperature: PositiveFloat = 0.07,
        projection: PositiveInt = 128,
    ) -> None:
        self.strength, self.keys, self.temperature, self.projection = strength, keys, temperature, projection

    def start(self, start: Start) -> None:
        self.check_one_class(start)
        if mixing := start.module.mixes():
            raise RecipeError(f"tuning.regularisers: BiTuning needs one class per image, but {mixing} blends images")
        self.classifier: nn.Linear = start.module.classifier_layer()
        classes, channels = self.classifier.weight.shape
        self.layers = nn.Linear(channels, self.projection)
        self.features = torch.zeros(classes, self.keys, channels + 1)
        self.projections = torch.zeros(classes, self.keys, self.projection)
        self.stored = torch.zeros(classes, dtype=torch.long)
        """How many images of each class were ever stored."""

    def penalty(self, step: Step) -> Tensor:
        features, targets = step.network.features, step.targets
        assert features is not None
        targets = targets if targets.ndim == 1 else targets.argmax(1)
        for name in ("features", "projections", "stored"):
            setattr(self, name, getattr(self, name).to(features.device))
        own = F.normalize(_with_one(features), dim=1)
        projected = F.normalize(self.layers(features.to(self.layers.weight.dtype)).to(features.dtype), dim=1)
        with torch.no_grad():
            weights = torch.cat([self.classifier.weight, self.classifier.bias[:, None]], 1).to(features.dtype)
            weights = F.normalize(weights, dim=1)
        classes = weights[targets]
        # Copies: the backward pass needs them after newer images are stored.
        features_stored, projections_stored = (
            stored.to(own.dtype, copy=True).flatten(0, 1).T for stored in (self.features, self.projections)
        )
        by_class = self._contrast((classes * own).sum(1), classes @ features_stored, targets)
        itself = (projected * projected.detach()).sum(1)
        by_image = self._contrast(itself, projected @ projections_stored, targets)
        self._store(own.detach(), projected.detach(), targets)
        return self.strength * (by_class + by_image)

    def _contrast(self, itself: Tensor, others: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean cross-entropy: itself `[N]`, a positive; others `[N, classes * keys]`, cosines of what is
        stored; targets `[N]`."""
        places = torch.arange(self.keys, device=targets.device) < self.stored[:, None]
        owner = torch.arange(len(self.stored), device=targets.device).repeat_interleave(self.keys)
        logits = torch.cat([itself[:, None], others.masked_fill(~places.flatten(), -torch.inf)], 1) / self.temperature
        positive = (targets[:, None] == owner) & places.flatten()
        positive = torch.cat([torch.ones_like(positive[:, :1]), positive], 1)
        likelihoods = logits.log_softmax(1).masked_fill(~positive, 0)
        return -(likelihoods.sum(1) / positive.sum(1)).mean()

    def _store(self, features: Tensor, projections: Tensor, targets: Tensor) -> None:
        """Stores the images of all ranks, each in the place of the oldest of its class."""
        for feature, projection, target in zip(
            gather(features), gather(projections), gather(targets).tolist(), strict=True
        ):
            place = int(self.stored[target]) % self.keys
            self.features[target, place], self.projections[target, place] = feature, projection
            self.stored[target] += 1

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).cpu() for name in ("features", "projections", "stored")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value.clone())


def _with_one(features: Tensor) -> Tensor:
    return torch.cat([features, features.new_ones(len(features), 1)], 1)
