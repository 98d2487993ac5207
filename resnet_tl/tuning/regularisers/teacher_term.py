"""The base of the terms of `tuning.teacher`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from resnet_tl.tuning.regularisers.base import Regulariser, Start, learns
from resnet_tl.tuning.teacher import Teacher

if TYPE_CHECKING:
    from torch import nn


class TeacherTerm(Regulariser):
    """Base of what learns from a teacher; a subclass adds the penalty.

    Args:
        teacher: the setting, from which the plan makes it: recipes do not name it.

    Attributes:
        network: the teacher, from `start` on: a `resnet_tl.tuning.protocols.TeacherNetwork`.
        reached: the modules that make what is compared with it.
    """

    label = "tuning.teacher"
    other_weights = "tuning.teacher is another network than the run has learned from; restore the one that it began by"
    network: Any
    reached: Sequence[nn.Module]

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    def start(self, start: Start) -> None:
        self.network = start.module.teacher
        self.reached = [module for modules in start.stages.values() for module in modules]

    def learns(self) -> bool:
        """Whether anything that makes what is compared is trained in the current phase."""
        return learns(self.reached)

    def digest(self) -> str:
        digest: str = self.network.digest
        return digest
