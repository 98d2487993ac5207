"""What a teacher computes of a batch: in the step, or cached next to the features of stages that are frozen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from resnet_tl.structures.records import Features
from resnet_tl.tuning.regularisers.base import Taught
from resnet_tl.tuning.regularisers.distillation import Distillation
from resnet_tl.tuning.regularisers.teacher_term import TeacherTerm

if TYPE_CHECKING:
    from resnet_tl.tuning.protocols import TeacherNetwork

OUTPUTS, FEATURES = "teacher/outputs", "teacher/features"
"""Names next to those of the network's levels in cached features."""


class Teaching:
    """Runs the teacher for the regularisers that need it.

    Args:
        teacher: the network.
        each: those regularisers.
    """

    def __init__(self, teacher: TeacherNetwork, each: Sequence[TeacherTerm]) -> None:
        self.teacher = teacher
        self.outputs = any(isinstance(one, Distillation) for one in each)
        self.of_features = [one for one in each if not isinstance(one, Distillation)]

    @property
    def features(self) -> bool:
        """Whether its features are needed in the current phase."""
        return any(one.learns() for one in self.of_features)

    @property
    def needed(self) -> bool:
        return self.outputs or self.features

    def __call__(self, images: Tensor | Features) -> Taught | None:
        """Returns what it computes of normalised images `[N, C, H, W]`, or what is cached of them; None in a phase that
        does not need it, or in which none is cached, as it solves the head."""
        if not self.needed:
            return None
        if isinstance(images, Features):
            outputs, features = images.maps.get(OUTPUTS), images.maps.get(FEATURES)
            if outputs is None and features is None:
                return None
            vectors = features is not None and features.shape[2:] == (1, 1)
            return Taught(
                None if outputs is None else outputs.flatten(1),
                features.flatten(1) if features is not None and vectors else features,
            )
        with torch.no_grad():
            return self.teacher(images, outputs=self.outputs, features=self.features)

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Returns what is to be cached of normalised images, in the form of maps `[N, C, H, W]`."""
        taught = self(images)
        assert taught is not None
        found = {OUTPUTS: taught.outputs, FEATURES: taught.features}
        return {
            name: value if value.ndim == 4 else value[:, :, None, None]
            for name, value in found.items()
            if isinstance(value, Tensor)
        }

    @property
    def key(self) -> str:
        """Identifies what is cached, except for the images."""
        return json.dumps([self.teacher.digest, self.outputs, self.features])

    def line(self, cached: bool) -> str:
        """Returns where its outputs come from in the current phase."""
        where = "not needed in this phase"
        if self.needed:
            where = "its outputs are cached with the features" if cached else "it runs in every step"
        return f"teacher: {self.teacher.description}; {where}"


def teaching_of(module: Any) -> Teaching | None:
    """Returns the teaching of the fit that a module is in, if there is any."""
    found: Teaching | None = getattr(getattr(module, "regularisers", None), "teaching", None)
    return found
