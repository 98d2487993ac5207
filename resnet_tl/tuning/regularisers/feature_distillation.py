"""Distillation of features: a projection of the network's own learns to be the teacher's."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_tl.errors import RecipeError, RunError, did_you_mean
from resnet_tl.tuning.regularisers.base import Start, Step
from resnet_tl.tuning.regularisers.teacher_term import TeacherTerm
from resnet_tl.tuning.regularisers.watch import Watch
from resnet_tl.tuning.teacher import Teacher


class FeatureDistillation(TeacherTerm):
    """Pulls features towards those of `tuning.teacher`, through a projection that is trained at the head's rate.

    Of a stage's maps (FitNets, arXiv:1412.6550) the term is `features` times the mean squared difference of their 1x1
    convolution, averaged or enlarged to the teacher's cells, from the teacher's maps. Of the classifier's inputs it is
    `features` times 1 less the cosine of their linear projection and the teacher's. Both are averaged over all images,
    those without labels too. While everything up to there is frozen there is no term.
    """

    name = "teacher_features"
    layers: nn.Module

    def __init__(self, teacher: Teacher) -> None:
        super().__init__(teacher)
        self.level = teacher.level
        self.reads: Sequence[str] = ("features",) if self.level is None else ("maps",)

    def start(self, start: Start) -> None:
        super().start(start)
        names = start.body
        if self.level is not None and self.level not in names:
            near = did_you_mean(self.level, names)
            raise RecipeError(f"tuning.teacher.level is {self.level!r}; expected one of {', '.join(names)}{near}")
        self.reached = start.modules_until(self.level)
        channels: int = self.network.channels
        if self.level is None:
            self.layers = nn.Linear(start.module.classifier_layer().in_features, channels)
        else:
            self.layers = nn.Conv2d(_channels(start.module.network, self.level), channels, 1)

    def penalty(self, step: Step) -> Tensor | None:
        if step.taught is None or step.taught.features is None:
            return None
        assert isinstance(step.taught.features, Tensor)
        distances = self._of_vectors if self.level is None else self._of_maps
        return self.teacher.features * distances(step, step.taught.features).sum() / step.images_of_whole

    def _of_vectors(self, step: Step, expected: Tensor) -> Tensor:
        """Returns 1 less the cosine with the teacher's features `[N, C]`, by image."""
        features = step.network.features
        assert features is not None
        projected = self.layers(features.to(next(self.layers.parameters()).dtype)).to(features.dtype)
        return 1 - F.cosine_similarity(projected, expected.to(features.dtype), dim=1)

    def _of_maps(self, step: Step, expected: Tensor) -> Tensor:
        """Returns the mean squared difference from the teacher's maps `[N, C, H, W]`, by image."""
        assert self.level is not None
        if self.level not in step.network.maps:
            raise RunError(
                f"tuning.teacher.level: {self.level} shows no map: stages that are recomputed "
                "(model.backbone.checkpoint_segments) hide theirs; set it to 0"
            )
        maps = step.network.maps[self.level]
        kind = torch.promote_types(maps.dtype, torch.float32)
        projected = self.layers(maps.to(next(self.layers.parameters()).dtype)).to(kind)
        if projected.shape[2:] != expected.shape[2:]:
            projected = _resized(projected, expected.shape[2:])
        return (projected - expected.to(kind)).square().mean((1, 2, 3))


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Returns maps `[N, C, H, W]` of `size`: enlarged bilinearly, or averaged."""
    if maps.shape[2] < size[0]:
        return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
    return F.adaptive_avg_pool2d(maps, (size[0], size[1]))


def _channels(network: Any, stage: str) -> int:
    """Returns the channels of a stage's maps."""
    # In a copy: the run of a network in training would move its running statistics.
    twin = copy.deepcopy(network).eval()
    images = torch.zeros(1, len(network.mean), 64, 64, dtype=torch.float32, device=network.mean.device)
    with torch.no_grad():
        _, seen = Watch(twin.stages(), None)(lambda: twin.run(images))
    if stage not in seen.maps or seen.maps[stage].ndim != 4:
        raise RecipeError(f"tuning.teacher.level: stage {stage!r} makes no map; expected one that does")
    return seen.maps[stage].shape[1]
