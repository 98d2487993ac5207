"""What is wrong with a recipe's network, plan, optimizer, schedule, devices and strategy, as far as its text shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import GradientAccumulationScheduler, Timer
from torch import nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.network import Backbone, NeckFactory, build_trunk
from resnet_tl.recipe.build import instantiate
from resnet_tl.recipe.node import Node
from resnet_tl.recipe.places import Place, deepest, option_name
from resnet_tl.recipe.resolve import part
from resnet_tl.recipe.schema import import_path
from resnet_tl.run.ddp import check_strategy
from resnet_tl.run.launch import check_accelerator, check_devices
from resnet_tl.run.sections import sections
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer, Schedule, build_optimizer, build_schedule, parameter_groups
from resnet_tl.tuning.resolve import resolve

MODEL: Place = ("model", "init_args")
PHASES: Place = (*MODEL, "tuning", "phases")


def training_faults(tree: Node) -> list[str]:
    """A sentence for each fault, with its place in the recipe. Values that are wrong in themselves count as not set."""
    stages: list[str] = []
    faults = [*_network_faults(tree, stages), *_rate_faults(tree), *_length_faults(tree), *_accumulation_faults(tree)]
    return [*faults, *_device_faults(tree), *(_plan_faults(tree, stages) if stages else [])]


def _network_faults(tree: Node, stages: list[str]) -> Iterator[str]:
    """Builds trunk and neck without memory for their weights, and appends the names of all stages."""
    backbone = _part(tree, Backbone, (*MODEL, "backbone"))
    if backbone is None:
        return
    with torch.device("meta"):
        trunk, fault = _attempt(tree, (*MODEL, "backbone", "name"), lambda: build_trunk(backbone))
        yield from fault
        if trunk is None:
            return
        neck = _part(tree, NeckFactory, (*MODEL, "neck"))
        if neck is not None:
            yield from _attempt(tree, (*MODEL, "neck"), lambda: neck(trunk.feature_info))[1]
    sets = deepest(tree, MODEL).value
    wrong = isinstance(sets, dict) and "neck" in sets and sets["neck"].value is not None
    stages += [*trunk.stages(), *(["neck"] if neck is not None or wrong else []), "head"]


def _rate_faults(tree: Node) -> Iterator[str]:
    optimizer = _part(tree, Optimizer, (*MODEL, "optimizer"))
    schedule = _part(tree, Schedule, (*MODEL, "schedule"))
    groups = parameter_groups({"head": [nn.Linear(1, 1)]}, 0.0)
    if optimizer is not None:
        yield from _attempt(tree, (*MODEL, "optimizer", "name"), lambda: build_optimizer(optimizer, groups))[1]
    if schedule is not None:
        sgd = torch.optim.SGD(groups, lr=0.1)
        steps = 10**6  # more than any warm-up: how many there are depends on the data
        yield from _attempt(tree, (*MODEL, "schedule", "name"), lambda: build_schedule(schedule, sgd, 0.1, steps, 1))[1]


def _length_faults(tree: Node) -> Iterator[str]:
    """How long a run trains, at least and at most, and between validations."""
    epochs, steps, time = (_value(tree, ("trainer", f"max_{each}")) for each in ("epochs", "steps", "time"))
    interval = _value(tree, ("trainer", "val_check_interval"))
    for unit, most in (("epochs", epochs), ("steps", steps)):
        at = ("trainer", f"min_{unit}")
        yield from _attempt(tree, at, partial(_check_least, unit, _value(tree, at), most))[1]
    if time is not None:
        yield from _attempt(tree, ("trainer", "max_time"), lambda: _check_time("max_time", time))[1]
    if isinstance(interval, (str, dict)):
        others = "a number of batches, a share of an epoch, "
        at = ("trainer", "val_check_interval")
        yield from _attempt(tree, at, lambda: _check_time("val_check_interval", interval, others))[1]


def _accumulation_faults(tree: Node) -> Iterator[str]:
    """Lightning's scheduler of the global batch, by which everything else counts its steps."""
    for index, callback in enumerate(_value(tree, ("trainer", "callbacks")) or []):
        if callback["class_path"] == import_path(GradientAccumulationScheduler):
            yield from _attempt(tree, ("trainer", "callbacks", str(index)), _refuse_accumulation)[1]


def _refuse_accumulation() -> None:
    raise RecipeError(
        "trainer.callbacks has a GradientAccumulationScheduler, but phases and schedules need a global batch that "
        "stays the same; remove it, and set trainer.accumulate_grad_batches or trainer.global_batch"
    )


def _device_faults(tree: Node) -> Iterator[str]:
    """Names and numbers that no machine has; whether this one has the devices, only a run needs to know."""
    accelerator, devices, strategy = (_value(tree, ("trainer", key)) for key in ("accelerator", "devices", "strategy"))
    yield from _attempt(tree, ("trainer", "accelerator"), lambda: check_accelerator(accelerator))[1]
    yield from _attempt(tree, ("trainer", "devices"), lambda: check_devices(devices, accelerator))[1]
    yield from _attempt(tree, ("trainer", "strategy"), lambda: check_strategy(strategy))[1]


def _check_least(unit: str, least: int | None, most: int | None) -> None:
    if least is not None and most is not None and 0 < most < least:
        raise RecipeError(f"trainer.min_{unit} is {least}, but max_{unit} is {most}")


def _check_time(name: str, given: Any, others: str = "") -> None:
    """others: what may be given in its place."""
    try:
        seconds = Timer(instantiate(timedelta, given)).time_remaining() or 0.0
    except (MisconfigurationException, TypeError, ValueError, OverflowError):
        seconds = 0.0
    if seconds <= 0:
        raise RecipeError(
            f"trainer.{name} is {given}; expected {others}days:hours:minutes:seconds, as 00:02:30:00, or a mapping, as "
            "{hours: 2}"
        )


def _plan_faults(tree: Node, stages: Sequence[str]) -> Iterator[str]:
    """What each phase names, then how long they are together and what they freeze."""
    node = deepest(tree, PHASES).value
    places = [(*PHASES, str(index)) for index in range(len(node))] if isinstance(node, list) else []
    phases: list[Phase | None] = [_part(tree, Phase, place) for place in places]
    named_wrong = False
    for index, (place, phase) in enumerate(zip(places, phases, strict=True)):
        if phase is None:
            continue
        for key, alone in (
            ("train", Phase(phase.train)),
            ("lr", Phase("all", lr=phase.lr)),
        ):
            _, fault = _attempt(tree, (*place, key), partial(resolve, Tuning([alone]), stages, 1))
            named_wrong = named_wrong or bool(fault)
            yield from (sentence.replace("tuning.phases[0]", f"tuning.phases[{index}]") for sentence in fault)
    tuning = _part(tree, Tuning, (*MODEL, "tuning"))
    epochs = _value(tree, ("trainer", "max_epochs"))
    if tuning is None or not isinstance(epochs, int) or epochs < 1:
        return
    if named_wrong and isinstance(tuning.phases, list):
        tuning = replace(tuning, phases=[replace(phase, train="all", lr={}, solver=None) for phase in tuning.phases])
    weights = deepest(tree, (*MODEL, "backbone", "weights")).value
    loaded: list[str] | None = [] if weights is None or isinstance(weights, dict) else None  # a dict: no such key
    yield from _attempt(tree, PHASES, lambda: resolve(tuning, stages, epochs, loaded))[1]


def _part(tree: Node, hint: Any, at: Place) -> Any:
    """The object at a place; None where the recipe sets it to null, has no such key, or is wrong."""
    value = _value(tree, at)
    return None if value is None else instantiate(hint, value)


def _value(tree: Node, at: Place) -> Any:
    try:
        return part(tree, sections(), at)
    except (KeyError, IndexError):
        return None


def _attempt(tree: Node, at: Place, make: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What `make` returns, and its RecipeError as a sentence that begins with file and line.

    Other errors are a custom class's, which need not work without data; training will show them.
    """
    try:
        return make(), []
    except RecipeError as error:
        where = deepest(tree, at).where
        return None, [f"{where}: {error}" if where not in ("the recipe", f"--{option_name(at)}") else str(error)]
    except Exception:
        return None, []
