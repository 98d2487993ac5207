"""Reads the network that `tuning.teacher` names, and runs it on images as the network that is trained sees them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_tl.checkpoint import Bundle
from resnet_tl.errors import RecipeError, WeightsError, did_you_mean
from resnet_tl.models.ensemble import TINY, MeanClasses
from resnet_tl.models.fold import fold
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Network
from resnet_tl.prediction.members import read_network
from resnet_tl.run.timm_teacher import PREFIX, read_timm
from resnet_tl.structures.records import Features
from resnet_tl.tasks.classification import Classification
from resnet_tl.tuning.regularisers.base import Taught
from resnet_tl.tuning.regularisers.digests import digest_of
from resnet_tl.tuning.regularisers.watch import Watch
from resnet_tl.tuning.teacher import Teacher


class Classifier(Protocol):
    """A trained classifier of any making, an `nn.Module`.

    mean, std: `[C]`, by which images 0...1 are normalised for it. size: of its evaluation, in pixels. classes: of its
    outputs; None: not known. multi_label: whether its outputs are of several classes per image; None: as they are used.
    """

    mean: Tensor
    std: Tensor
    size: int
    classes: Sequence[str] | None
    outputs: int
    multi_label: bool | None

    def level(self, name: str) -> nn.Module:
        """Returns the module that makes the maps of a stage. Raises RecipeError: there is none."""

    def __call__(self, images: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Returns logits `[N, K]`, and features `[N, C]` of normalised images; None of what it does not have."""


def read_teacher(task: Classification) -> Teachers:
    """Returns the network that a task's `tuning.teacher` names, or all of them as one.

    Raises:
        WeightsError: one cannot be read. RecipeError: it is no classifier of the task's classes and images.
    """
    settings = task.tuning.teacher
    assert settings is not None
    _check(settings)
    with torch.random.fork_rng(devices=[]):  # networks are built with random weights first
        return Teachers([_member(name, settings, task) for name in settings.names], settings, task)


class Teachers:
    """Networks of which another learns: their outputs are the logits of the mean of their probabilities of its classes.

    A plain object: checkpoints hold none of it, and no optimizer and no wrapper sees its weights.
    """

    levels = None

    def __init__(self, members: Sequence[Member], settings: Teacher, task: Classification) -> None:
        self.members, self.multi_label = members, task.multi_label
        self.level = settings.teacher_level or settings.level
        images = torch.zeros(1, len(task.network.mean), *[task.network.preprocessing.size or 64] * 2)
        features = self(images, outputs=False, features=True).features if settings.features else None
        if isinstance(features, Tensor) and features.ndim != (2 if settings.level is None else 4):
            shape = " x ".join(map(str, features.shape[1:]))
            raise RecipeError(
                f"tuning.teacher.level is {settings.level}, but {members[0]} gives features of {shape} for an image; "
                "expected maps of a level, or a vector without one"
            )
        self.channels = features.shape[1] if isinstance(features, Tensor) else 0

    def __call__(self, images: Tensor, *, outputs: bool, features: bool) -> Taught:
        """See `resnet_tl.tuning.protocols.TeacherNetwork`."""
        with torch.no_grad():
            each = [member.to(images)(images) for member in self.members]
        logits = [_at_least_fp32(found.outputs) for found in each if outputs and found.outputs is not None]
        seen = each[0].features if features else None
        return Taught(self._mean(logits) if logits else None, _at_least_fp32(seen) if seen is not None else None)

    def _mean(self, logits: Sequence[Tensor]) -> Tensor:
        if len(logits) == 1:
            return logits[0]
        if self.multi_label:
            return torch.stack([each.sigmoid() for each in logits]).mean(0).logit(TINY)
        # By logarithms: none of the probabilities becomes 0.
        return torch.stack([each.log_softmax(1) for each in logits]).logsumexp(0)

    @cached_property
    def digest(self) -> str:
        weights = digest_of(tensor for member in self.members for tensor in member.state_dict().values())
        return f"{weights} {[member.size for member in self.members]} {self.level}"

    @property
    def description(self) -> str:
        return " and ".join(map(str, self.members))


class Member(nn.Module):
    """One of them: it gets images that are normalised for the task's network, and resized to its own size."""

    scale: Tensor
    shift: Tensor
    columns: Tensor | None

    def __init__(self, name: str, classifier: Any, columns: Sequence[int] | None, settings: Teacher, task: Any) -> None:
        super().__init__()
        self.name, self.classifier = name, classifier.requires_grad_(False)
        self.eval()
        self.size: int = settings.size or classifier.size
        mean, std = task.network.mean.cpu(), task.network.std.cpu()
        self.register_buffer("scale", (std / classifier.std)[:, None, None])
        self.register_buffer("shift", ((mean - classifier.mean) / classifier.std)[:, None, None])
        self.register_buffer("columns", None if columns is None else torch.tensor(columns))
        self.same = torch.equal(mean, classifier.mean) and torch.equal(std, classifier.std)
        level = settings.teacher_level or settings.level
        with_maps = settings.features and level is not None
        self.watch = Watch({"level": [classifier.level(level)]}, None) if with_maps else None

    def forward(self, images: Tensor) -> Taught:
        """Returns logits `[N, K]` of the task's classes, and features."""
        if not self.same:
            images = torch.addcmul(self.shift, images, self.scale)
        if images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        images = images.contiguous(memory_format=torch.channels_last)
        if self.watch is None:
            logits, features = self.classifier(images)
        else:
            (logits, _), seen = self.watch(lambda: self.classifier(images))
            features = seen.maps["level"]
        return Taught(None if logits is None or self.columns is None else logits[:, self.columns], features)

    def __str__(self) -> str:
        weights = sum(parameter.numel() for parameter in self.parameters()) / 1e6
        return f"{self.name} ({weights:.1f} M weights, {self.size} pixels)"


class Own(nn.Module):
    """A network of this project, folded; or the ensemble of its folds."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, classes: Sequence[str], size: int) -> None:
        super().__init__()
        self.network, self.classes, self.outputs = fold(network), classes, len(classes)
        self.size = size or 224
        self.mean, self.std = network.mean, network.std
        self.multi_label = bool(getattr(network.head, "multi_label", False))

    def level(self, name: str) -> nn.Module:
        stages = self.network.stages()
        names = list(stages)[:-1]
        if name not in names or isinstance(self.network.head, MeanClasses):
            raise RecipeError(
                f"tuning.teacher.teacher_level is {name!r}; expected one of {', '.join(names)}"
                f"{did_you_mean(name, names)}"
            )
        return stages[name][-1]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        found, head = self.network.features(images), self.network.head
        assert isinstance(found, Features)
        features = head.features(found.maps) if isinstance(head, LinearHead) else None
        return head(found.maps, None, found.input_size), features


def _member(name: str, settings: Teacher, task: Classification) -> Member:
    own: Any
    channels = task.backbone.in_channels
    if name.startswith(PREFIX):
        own = read_timm(name, settings, channels)
    else:
        bundle, network = read_named(name)
        if not isinstance(network.head, LinearHead | MeanClasses):
            kind = type(network.head).__name__
            raise RecipeError(f"tuning.teacher.network: {name} ends in {kind}; expected a classifier")
        if network.trunk.in_channels != channels:
            raise RecipeError(
                f"tuning.teacher.network: {name} takes images of {network.trunk.in_channels} channels, but "
                f"data.channels is {channels}; they must be equal"
            )
        if settings.features and isinstance(network.head, MeanClasses):
            raise RecipeError(f"tuning.teacher.features: {name} are several networks; expected one, as {name}/fold1")
        own = Own(network, bundle.classes, bundle.preprocessing.size)
    return Member(name, own, _columns(name, own, settings, task) if settings.weight else None, settings, task)


def read_named(name: str) -> tuple[Bundle, Network]:
    """Returns `read_network`'s; its WeightsErrors name the option."""
    try:
        return read_network(name, trust_code=False)
    except WeightsError as error:
        raise WeightsError(f"tuning.teacher.network: {error}") from None


def _columns(name: str, own: Classifier, settings: Teacher, task: Classification) -> list[int]:
    """Returns which of its outputs is each class's."""
    where = f"tuning.teacher.network: {name}"
    if own.multi_label is not None and own.multi_label != task.multi_label:
        kinds = {True: "several labels", False: "one label"}
        raise RecipeError(f"{where} has {kinds[own.multi_label]} per image, but the task {kinds[task.multi_label]}")
    if own.outputs == 0:
        raise RecipeError(f"{where} has no classifier: set tuning.teacher.weight to 0 and learn its features")
    if settings.outputs is not None and name.startswith(PREFIX):
        return _mapped(where, own, settings.outputs, task.classes)
    if own.classes is None and own.outputs == len(task.classes):
        return list(range(own.outputs))
    if own.classes is None:
        raise RecipeError(
            f"{where} has {own.outputs} outputs without names, but the data has {len(task.classes)} classes; name the "
            f"output of each, as in tuning.teacher.outputs: {{{task.classes[0]}: 0, ...}}"
        )
    if absent := [each for each in task.classes if each not in own.classes]:
        known = ", ".join(own.classes[:5]) + (", ..." if len(own.classes) > 5 else "")
        near = did_you_mean(absent[0], own.classes)
        mapping = ", or tuning.teacher.outputs" if name.startswith(PREFIX) else ""
        raise RecipeError(
            f"{where} does not know {', '.join(absent[:5])}{', ...' * (len(absent) > 5)}, only {known}; expected a "
            f"network of all classes of the data{mapping}{near}"
        )
    return [own.classes.index(each) for each in task.classes]


def _mapped(where: str, own: Classifier, outputs: dict[str, int], classes: Sequence[str]) -> list[int]:
    if absent := [each for each in classes if each not in outputs]:
        raise RecipeError(f"tuning.teacher.outputs has none for {', '.join(absent)}; expected one for each class")
    if (most := max(outputs[each] for each in classes)) >= own.outputs:
        raise RecipeError(f"tuning.teacher.outputs names {most}, but {where.rpartition(' ')[2]} has {own.outputs}")
    return [outputs[each] for each in classes]


def _check(settings: Teacher) -> None:
    """Raises RecipeError for settings that contradict each other."""
    names = settings.names
    if not names:
        raise RecipeError("tuning.teacher.network is an empty list; expected a run, or timm/NAME")
    of_timm = [name for name in names if name.startswith(PREFIX)]
    for option in ("file", "outputs"):
        if getattr(settings, option) is not None and len(of_timm) != 1:
            raise RecipeError(
                f"tuning.teacher.{option} is for one network of timm, but network names {', '.join(names)}; omit it"
            )
    if settings.features and len(names) > 1:
        raise RecipeError("tuning.teacher.features needs one network, but several are named; omit it, or name one")
    for option in ("level", "teacher_level"):
        if getattr(settings, option) is not None and not settings.features:
            raise RecipeError(
                f"tuning.teacher.{option} is for features, whose strength is 0; set tuning.teacher.features"
            )


def _at_least_fp32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
