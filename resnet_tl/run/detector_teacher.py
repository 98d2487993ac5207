"""Reads the detector that `tuning.teacher` names for one that is trained."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from resnet_tl.errors import RecipeError
from resnet_tl.models.fold import fold
from resnet_tl.models.heads.base import DetectionHead
from resnet_tl.models.network import Network
from resnet_tl.run.teacher import read_named
from resnet_tl.run.timm_teacher import PREFIX
from resnet_tl.structures.records import Level
from resnet_tl.tasks.detection import Detection
from resnet_tl.tuning.regularisers.base import Taught
from resnet_tl.tuning.regularisers.digests import digest_of
from resnet_tl.tuning.teacher import Teacher


def read_detector(task: Detection) -> DetectorTeacher:
    """Returns the detector that a task's `tuning.teacher` names.

    Raises:
        WeightsError: it cannot be read. RecipeError: it is no detector whose pyramid the task's can imitate.
    """
    settings = task.tuning.teacher
    assert settings is not None
    name = _check(settings)
    with torch.random.fork_rng(devices=[]):  # it is built with random weights first
        _, network = read_named(name)
    where = f"tuning.teacher.network: {name}"
    if not isinstance(network.head, DetectionHead) or network.neck is None:
        raise RecipeError(f"{where} is no detector with a neck; expected one run of Detection")
    if not (_equal(network.mean, task.network.mean) and _equal(network.std, task.network.std)):
        raise RecipeError(
            f"{where} was trained on images normalised in another way (mean {_text(network.mean)}, std "
            f"{_text(network.std)}); expected {_text(task.network.mean)} and {_text(task.network.std)}"
        )
    own: Any = task.network.neck
    if own is None:
        raise RecipeError("tuning.teacher: a detector learns by the maps of its neck, but model.neck is null")
    theirs = list(network.neck.feature_info)  # type: ignore[arg-type, union-attr]  # every neck has one
    levels = [
        level
        for level in theirs
        if (level.name, level.stride) in {(each.name, each.stride) for each in own.feature_info}
    ]
    if not levels:
        names = [", ".join(level.name for level in each) for each in (theirs, own.feature_info)]
        raise RecipeError(f"{where} has the levels {names[0]}, and the network {names[1]}; expected some in common")
    return DetectorTeacher(name, network, levels)


class DetectorTeacher:
    """A frozen detector without its head. A plain object: checkpoints hold none of it.

    levels: those of its pyramid that the network in training has, too.
    """

    def __init__(self, name: str, network: Network, levels: list[Level]) -> None:
        self.name, self.network, self.levels = name, fold(network), levels
        self.channels = levels[0].channels

    def __call__(self, images: Tensor, *, outputs: bool, features: bool) -> Taught:
        """See `resnet_tl.tuning.protocols.TeacherNetwork`."""
        with torch.no_grad():
            return Taught(None, self.network.to(images).features(images).maps)

    @cached_property
    def digest(self) -> str:
        return digest_of(self.network.state_dict().values())

    @property
    def description(self) -> str:
        weights = sum(parameter.numel() for parameter in self.network.parameters()) / 1e6
        return f"{self.name} ({weights:.1f} M weights), its maps {', '.join(level.name for level in self.levels)}"


def _check(settings: Teacher) -> str:
    """Returns the name of the network. Raises RecipeError for settings that detectors do not take."""
    if settings.weight or not settings.features:
        raise RecipeError(
            "tuning.teacher: a detector learns features, not outputs; set tuning.teacher.weight to 0 and "
            "tuning.teacher.features to 1"
        )
    for option in ("level", "teacher_level", "size", "file", "outputs"):
        if getattr(settings, option) is not None:
            raise RecipeError(f"tuning.teacher.{option} is for classifiers; omit it")
    if len(settings.names) != 1 or settings.names[0].startswith(PREFIX):
        raise RecipeError("tuning.teacher.network: a detector learns from one run of a detector; expected its folder")
    return settings.names[0]


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.allclose(one.cpu(), other.cpu(), atol=1e-6))


def _text(values: Tensor) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in values.tolist()) + ")"
