"""Gives a task the teacher that its plan names."""

from __future__ import annotations

from resnet_tl.errors import RecipeError
from resnet_tl.run.detector_teacher import read_detector
from resnet_tl.run.teacher import read_teacher
from resnet_tl.tasks.base import Task
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.detection import Detection


def give_teacher(task: Task) -> None:
    """Reads the network that `tuning.teacher` names, if there is one, and sets it as the task's `teacher`.

    Raises:
        RecipeError: the task has no teachers, or not such a one. WeightsError: it cannot be read.
    """
    if task.tuning.teacher is None:
        return
    if isinstance(task, Classification):
        task.teacher = read_teacher(task)
    elif isinstance(task, Detection):
        task.teacher = read_detector(task)
    else:
        raise RecipeError(f"tuning.teacher is for Classification and Detection, not for {type(task).__name__}; omit it")
