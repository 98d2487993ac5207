"""The regularisers of a fit, together: building and checking them, their terms of a training batch, and their state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.structures.records import Batch, Features
from resnet_tl.tuning.decoded import with_decoded
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.regularisers.base import Regulariser, Seen, Start, Step
from resnet_tl.tuning.regularisers.bi_tuning import BiTuning  # noqa: F401  known by name
from resnet_tl.tuning.regularisers.bss import BSS  # noqa: F401
from resnet_tl.tuning.regularisers.co_tuning import CoTuning  # noqa: F401
from resnet_tl.tuning.regularisers.delta import DELTA  # noqa: F401
from resnet_tl.tuning.regularisers.distillation import Distillation
from resnet_tl.tuning.regularisers.feature_distillation import FeatureDistillation
from resnet_tl.tuning.regularisers.imitation import Imitation
from resnet_tl.tuning.regularisers.l2_sp import L2SP
from resnet_tl.tuning.regularisers.lwf import LwF  # noqa: F401
from resnet_tl.tuning.regularisers.source import Source
from resnet_tl.tuning.regularisers.stoch_norm import StochNorm  # noqa: F401
from resnet_tl.tuning.regularisers.teacher_term import TeacherTerm
from resnet_tl.tuning.regularisers.teaching import Teaching
from resnet_tl.tuning.regularisers.watch import Watch

Terms = dict[str, Tensor]


class Regularisers:
    """Those of `tuning`, in its order; `tuning.l2_sp` is an `L2SP` before them, and the terms of `tuning.teacher` come
    after them.

    Registers nothing in the module but the layers that they train. A copied or pickled module has None in the place of
    this object.

    Args:
        module: before a checkpoint is loaded. For regularisers that look into the network it is a
            `resnet_tl.tuning.protocols.Regularised`.
        stages: of the module.

    Raises:
        RecipeError: one is named twice, or the module or the rest of the plan does not have what it needs.
    """

    def __init__(self, tuning: Tuning, module: Any, stages: Mapping[str, Sequence[nn.Module]]) -> None:
        makers: list[Callable[[], Regulariser]] = [partial(L2SP, tuning.l2_sp)] if tuning.l2_sp else []
        self.each = [*(make() for make in (*makers, *tuning.regularisers)), *_taught(tuning, module)]
        self.watching = [each for each in self.each if each.reads]
        self._check(tuning, module)
        taught = [each for each in self.each if isinstance(each, TeacherTerm)]
        self.teaching = Teaching(module.teacher, taught) if taught else None
        self.hard = 1 - tuning.teacher.weight if tuning.teacher is not None else 1.0
        """What the task's own terms weigh."""
        start = Start(module, stages, getattr(module, "loaded_stages", list(stages)[:-1]))
        with torch.random.fork_rng(devices=[]):  # what their layers draw changes nothing else
            for each in self.each:
                each.start(start)
        self.source = _source(module) if any(each.source for each in self.each) else None
        layers = {each.name: each.layers for each in self.each if each.layers is not None}
        if hasattr(module, "regularisers"):
            module.regularisers = self if self.watching else None
            module.regulariser_layers = nn.ModuleDict(layers)

    def _check(self, tuning: Tuning, module: Any) -> None:
        kinds = [type(each).__name__ for each in self.each]
        for kind in kinds:
            if kinds.count(kind) > 1:
                hint = " (tuning.l2_sp is one, too)" if kind == "L2SP" and tuning.l2_sp else ""
                raise RecipeError(f"tuning.regularisers has {kind} twice{hint}; expected each once")
        for each in self.watching:
            if not hasattr(module, "regularisers"):
                raise RecipeError(
                    f"{each.label} looks into the network, for which it needs a task of resnet_tl, and "
                    f"{type(module).__name__} is none"
                )
            if {"features", "outputs"} & set(each.reads) and module.classifier_input() is None:
                raise RecipeError(
                    f"{each.label} needs one vector of features per image, which "
                    f"{type(module).__name__} does not have; it is for Classification"
                )
            if isinstance(each, TeacherTerm) and getattr(module, "teacher", None) is None:
                raise RecipeError(
                    "tuning.teacher names a network that `resnet-tl fit` and `resnet_tl.fit` read; with a Trainer of "
                    "your own, set the task's `teacher` to resnet_tl.run.teacher.read_teacher(task)"
                )
            if each.source and tuning.cache == "on":
                raise RecipeError(
                    f"tuning.cache is on, but {each.label} runs the loaded network on the images, too; "
                    "auto caches the phases that it leaves out"
                )
            if tuning.compile == "all":
                raise RecipeError(
                    f"{each.label} looks into the network, which tuning.compile: all makes one graph; "
                    "set it to frozen or off"
                )

    @property
    def names(self) -> list[str]:
        """The names of the terms that `add_to` may add."""
        return [each.name for each in self.watching]

    @property
    def undecayed(self) -> list[str]:
        """The stages without weight decay."""
        return [stage for each in self.each for stage in each.undecayed]

    def reads_images(self) -> str | None:
        """Returns the name of one that needs the images in the current phase, or None."""
        return next((each.label for each in self.each if each.reads_images()), None)

    def unsplittable(self) -> str | None:
        """Returns the name of one whose term depends on the batch as a whole, or None."""
        return next((each.label for each in self.each if not each.splits), None)

    def begin(self, module: Any, batches: Callable[[], Iterable[Batch]] | None) -> None:
        """Called before the first training step of a fit. batches: returns all training images, each once."""
        with torch.random.fork_rng(devices=[]):  # loaders draw seeds
            for each in self.each:
                each.begin(module, None if batches is None else features_of(module, batches))

    def add_to(
        self, run: Callable[[], Terms], module: Any, images: Tensor | Features, targets: Any, unlabelled: float = 0.0
    ) -> Terms:
        """Returns the terms that `run` computes with the network, and those of the regularisers by their names.

        Args:
            images: normalised, or features of them; those without targets come last.
            unlabelled: see `Step`.
        """
        terms, seen = self._watch(module)(run)
        source = None
        if self.source is not None and self.reads_images():
            assert not isinstance(images, Features)
            source = _at_least_fp32(self.source(images[: len(targets)] if unlabelled else images))
        taught = None if self.teaching is None else self.teaching(images)
        if taught is not None and self.hard < 1:
            terms = {name: term * self.hard for name, term in terms.items()}
        with torch.autocast(next(iter(terms.values())).device.type, enabled=False):
            step = Step(images, targets, _at_least_fp32(seen), source, taught, unlabelled)
            labelled = _with_targets(step) if unlabelled else step
            penalties = {
                each.name: _penalty(each, step if isinstance(each, TeacherTerm) else labelled) for each in self.watching
            }
        return {**terms, **{name: penalty for name, penalty in penalties.items() if penalty is not None}}

    def _watch(self, module: Any) -> Watch:
        read = {what for each in self.watching for what in each.reads}
        return Watch(
            module.network.stages() if "maps" in read else {},
            module.classifier_input() if "features" in read else None,
            module.classifier_layer() if "outputs" in read else None,
        )

    def add_gradients(self) -> None:
        for each in self.each:
            each.add_gradients()

    def values(self) -> dict[str, Tensor]:
        """Returns the penalties of those that add gradients, for the log."""
        values = {each.name: each.value() for each in self.each}
        return {name: value for name, value in values.items() if value is not None}

    def finish(self, module: Any) -> None:
        for each in self.each:
            each.finish()
        if self.watching:
            module.regularisers = None

    def state_dict(self) -> dict[str, Any]:
        return {each.name: {"digest": self._digest(each), "state": each.state_dict()} for each in self.each}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises RunError if one of them held other weights, or was not part of the run."""
        for each in self.each:
            if each.name not in state:
                named = "tuning.teacher is set" if isinstance(each, TeacherTerm) else each.label.replace(": ", " has ")
                raise RunError(
                    f"{named}, which the run that is to be resumed did not have; expected the same regularisers"
                )
            if state[each.name]["digest"] != self._digest(each):
                raise RunError(each.other_weights)
            each.load_state_dict(state[each.name]["state"])

    def _digest(self, each: Regulariser) -> str | None:
        return self.source.digest if each.source and self.source is not None else each.digest()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


def _taught(tuning: Tuning, module: Any) -> list[TeacherTerm]:
    """Returns the terms of the teacher that the plan weighs."""
    teacher = tuning.teacher
    if teacher is None:
        return []
    of_features = Imitation if getattr(getattr(module, "teacher", None), "levels", None) else FeatureDistillation
    features = [of_features(teacher)] if teacher.features else []
    return [Distillation(teacher), *features] if teacher.weight else [*features]


def _with_targets(step: Step) -> Step:
    """Returns the step without the images that have no target."""
    images, seen = len(step.targets), step.network
    assert not isinstance(step.images, Features)
    maps = {name: value[:images] for name, value in seen.maps.items()}
    features, outputs = (None if value is None else value[:images] for value in (seen.features, seen.outputs))
    return replace(step, images=step.images[:images], network=Seen(maps, features, outputs), unlabelled=0.0)


def _source(module: Any) -> Source:
    head = None if module.classifier_input() is None else module.network.head
    return Source(module.network, head)


def features_of(module: Any, batches: Callable[[], Iterable[Batch]]) -> Iterator[tuple[Tensor, Any]]:
    """Yields the features of the images in each batch that can be decoded, of the network as it is now, and their
    targets."""
    source = _source(module)
    for batch, decoded in with_decoded(batch.to(module.device) for batch in batches()):
        features = source(module.network.normalise(batch.images)).features
        assert features is not None
        yield features[decoded], batch.targets[decoded]


def _penalty(each: Regulariser, step: Step) -> Tensor | None:
    """Returns its term. Layers get a gradient of 0 where it has none: DistributedDataParallel waits for all."""
    penalty = each.penalty(step)
    if penalty is None and each.layers is not None:
        return torch.stack([0 * parameter.sum() for parameter in each.layers.parameters()]).sum()
    return penalty


def _at_least_fp32(seen: Seen) -> Seen:
    """Casts features and outputs in half precision; maps would take memory that few regularisers need."""
    vectors = {"features": seen.features, "outputs": seen.outputs}
    cast: dict[str, Any] = {
        name: value.to(torch.promote_types(value.dtype, torch.float32))
        for name, value in vectors.items()
        if value is not None
    }
    return replace(seen, **cast)
