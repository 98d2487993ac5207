"""Optimizers over stages, and learning rates as functions of the step.

A stage's rate at step t is `optimizer.lr` x the schedule's factor at t x the phase's factor for the stage. Parameter
groups are made once for all stages, frozen ones too: without gradients these do not change, and no group has to be
added, rebuilt or matched when a phase changes or a run resumes.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.imports import import_object, makes, returns_function
from resnet_tl.ranges import (
    Fraction,
    FractionBelow1,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    checked,
)
from resnet_tl.tuning.fused import is_fused, prepare_if_fused


@checked("optimizer")
@dataclass
class Optimizer:
    """The optimizer of a recipe.

    Args:
        name: `sgd`, `adamw`, or the name of any timm optimizer (`lamb`, `lion`, ...).
        lr: the learning rate for the actual global batch: without `base_batch` it is never scaled.
        base_batch: linear scaling (arXiv:1706.02677): `lr` is meant for this global batch, and is multiplied by the
            actual one over it, which the run prints. `schedule.warmup_epochs` makes it a gradual warm-up.
        weight_decay: of weights; biases and norms are never decayed.
        momentum: of `sgd`, and of timm's optimizers that have one.
        nesterov: of `sgd`.
        options: further arguments of the optimizer.
        fused: take a step in one kernel, with `sgd`, `adam` and `adamw`; `auto`: on CUDA, and `adam` and
            `adamw` on CPUs.
    """

    name: str = "sgd"
    lr: PositiveFloat = 0.01
    weight_decay: NonNegativeFloat = 1e-4
    momentum: FractionBelow1 = 0.9
    nesterov: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    fused: Literal["auto"] | bool = "auto"
    base_batch: PositiveInt | None = None


@checked("schedule")
@dataclass
class Schedule:
    """The learning rate over the run, from the first step to the last, or from a phase with `restart` on.

    Args:
        name: `constant`; `cosine` to `final`; `poly`: (1 - t/T)^power; `step`: times `gamma` at each milestone;
            `one-cycle`: up over the first `warmup_fraction`, then down, both by cosine (arXiv:1708.07120);
            `plateau`: times `gamma` when `monitor` has not improved for more than `patience` epochs. Or an import path:
            of a torch scheduler, `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`, or of a custom function that
            takes the number of steps and `options` and returns a function from the step, 0 to T - 1, to a factor.
        warmup_epochs: linear warm-up from lr / (steps + 1) before the schedule; one that leaves the schedule no step is
            shortened to half of it. Not for `plateau` and import paths.
        milestones: of `step`, in epochs.
        gamma: of `step` and `plateau`: the factor at each milestone or plateau.
        power: of `poly`.
        warmup_fraction: of `one-cycle`: the share of the run in which the rate rises.
        patience: of `plateau`: epochs without an improvement; where `monitor` is of validation, validations.
        final: the last factor of `cosine` and `one-cycle`.
        monitor: of `plateau`: a metric to minimise.
        options: further arguments of `plateau` or of an import path; a torch scheduler's `T_max`, `total_steps` and
            `max_lr` are the steps (or epochs) that it spans and `optimizer.lr`, unless given here.
        interval: the unit that a torch scheduler named by its import path counts.
    """

    name: str = "cosine"
    warmup_epochs: NonNegativeFloat = 0.0
    milestones: list[NonNegativeFloat] = field(default_factory=list)
    gamma: Annotated[float, Gt(0), Le(10)] = 0.1
    power: Annotated[float, Ge(0), Le(100)] = 0.9
    warmup_fraction: Annotated[float, Gt(0), Lt(1)] = 0.3
    final: Fraction = 0.0
    monitor: str = "val/loss"
    patience: NonNegativeInt = 3
    options: dict[str, Any] = field(default_factory=dict)
    interval: Literal["step", "epoch"] = "step"


def parameter_groups(stages: Mapping[str, Sequence[nn.Module]], weight_decay: float) -> list[dict[str, Any]]:
    """Returns two groups per stage, weights (decayed) and biases and norms (not decayed), each with its `stage`."""
    groups = []
    for stage, modules in stages.items():
        parameters = [parameter for module in modules for parameter in module.parameters()]
        weights = [parameter for parameter in parameters if parameter.ndim > 1]
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        for params, decay in ((weights, weight_decay), (others, 0.0)):
            if params:
                groups.append({"params": params, "weight_decay": decay, "stage": stage})
    return groups


def build_optimizer(optimizer: Optimizer, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Builds the optimizer of a recipe.

    Args:
        groups: parameters on the device that they are trained on; it decides about `fused: auto`.

    Raises:
        RecipeError: there is no such optimizer, or it rejects its arguments.
    """
    name = optimizer.name.lower()
    device = groups[0]["params"][0].device.type
    fused = {"fused": True} if is_fused(name, optimizer.options, optimizer.fused, device) else {}
    options = {**optimizer.options, **fused}
    try:
        if name == "sgd":
            sgd = {"momentum": optimizer.momentum, "nesterov": optimizer.nesterov, **options}
            built: torch.optim.Optimizer = torch.optim.SGD(groups, lr=optimizer.lr, **sgd)
        elif name == "adamw":
            built = torch.optim.AdamW(groups, lr=optimizer.lr, **options)
        else:
            built = _timm_optimizer(replace(optimizer, options=options), groups)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"optimizer {optimizer.name!r} rejects its arguments: {_first_line(error)}") from error
    prepare_if_fused(built)
    return built


def build_schedule(
    schedule: Schedule, optimizer: torch.optim.Optimizer, lr: float, steps: int, steps_per_epoch: float
) -> dict[str, Any]:
    """Builds a schedule over the next `steps` optimizer steps, starting at `lr` whatever the rates are now.

    Returns Lightning's `lr_scheduler`: the torch scheduler, its interval and monitor.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
        group.pop("initial_lr", None)  # an earlier scheduler's, which torch's next one would start from
    if schedule.name in _SHAPES:
        factor = schedule_factor(schedule, steps, steps_per_epoch)
        return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
    make = ReduceLROnPlateau if schedule.name == "plateau" else _import(schedule.name)
    if schedule.warmup_epochs:
        raise RecipeError(f"schedule.warmup_epochs does not apply to {schedule.name!r}; expected 0")
    if schedule.name == "plateau":
        options = {"factor": schedule.gamma, "patience": schedule.patience, **schedule.options}
        plateau = _build(make, schedule, optimizer, **options)
        return {"scheduler": plateau, "interval": "epoch", "monitor": schedule.monitor}
    return _imported(make, schedule, optimizer, lr, steps, steps_per_epoch)


def warmup_steps(schedule: Schedule, steps: int, steps_per_epoch: float) -> tuple[int, int]:
    """Returns the length of the warm-up in a schedule of `steps`, and what the recipe asks for."""
    asked = round(schedule.warmup_epochs * steps_per_epoch)
    return (asked if asked < steps else steps // 2), asked


def schedule_factor(schedule: Schedule, steps: int, steps_per_epoch: float) -> Callable[[int], float]:
    """Returns the factor on the rate as a function of the step, in closed form, for `steps` optimizer steps."""
    warmup, _ = warmup_steps(schedule, steps, steps_per_epoch)
    shape = _SHAPES[schedule.name]

    @functools.lru_cache(1)  # each step asks once for every parameter group
    def value(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min((step - warmup) / max(steps - warmup, 1), 1.0)
        return shape(schedule, progress, step / steps_per_epoch)

    # LambdaLR stores the attributes of all that is not a plain function, as a cached one.
    return lambda step: value(step)


def staircase(steps: int, supports: Sequence[int]) -> Callable[[int], float]:
    """BiT's schedule (arXiv:1912.11370, section 3.3) for `schedule.name: resnet_tl.tuning.rates.staircase`.

    supports: in optimizer steps: a linear warm-up up to the first, a tenth of the rate after each later one.
    """
    warmup, *decays = supports

    def factor(step: int) -> float:
        return step / warmup if step < warmup else 0.1 ** sum(step > decay for decay in decays)

    return factor


def bit_rule(images: int) -> str:
    """Returns the overlay with BiT's length, rate and mixup for this number of training images (arXiv:1912.11370)."""
    return "bit_small" if images < 20_000 else "bit_medium" if images < 500_000 else "bit_large"


def _timm_optimizer(optimizer: Optimizer, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    from timm.optim import create_optimizer_v2, list_optimizers

    names = [str(name) for name in list_optimizers()]
    if optimizer.name not in names:
        known = ["sgd", "adamw", *names]
        raise RecipeError(
            f"optimizer.name is {optimizer.name!r}, which is not sgd, adamw or one of timm's optimizers"
            + did_you_mean(optimizer.name, known)
        )
    # weight_decay is the default of groups without one; all of these have theirs.
    return create_optimizer_v2(
        groups, opt=optimizer.name, lr=optimizer.lr, weight_decay=0.0, momentum=optimizer.momentum, **optimizer.options
    )


def _imported(
    make: Any, schedule: Schedule, optimizer: torch.optim.Optimizer, lr: float, steps: int, steps_per_epoch: float
) -> dict[str, Any]:
    if not (inspect.isclass(make) and issubclass(make, LRScheduler)):
        factor = _build(make, schedule, steps, **schedule.options)
        if not callable(factor):
            raise RecipeError(f"schedule {schedule.name!r} returns {factor!r}, expected a function of the step")
        return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
    length = steps if schedule.interval == "step" else math.ceil(steps / steps_per_epoch)
    known = {"T_max": length, "total_steps": length, "max_lr": lr}
    accepted = {name: value for name, value in known.items() if name in inspect.signature(make).parameters}
    scheduler = _build(make, schedule, optimizer, **{**accepted, **schedule.options})
    return {"scheduler": scheduler, "interval": schedule.interval, "monitor": schedule.monitor}


def _import(path: str) -> Any:
    """Returns the class or function that a schedule's name is the import path of."""
    if "." not in path:
        known = [*_SHAPES, "plateau"]
        raise RecipeError(
            f"schedule.name is {path!r}, expected one of {', '.join(known)}, or an import path"
            + did_you_mean(path, known)
        )
    try:
        found = import_object(path)
    except RecipeError as error:
        raise RecipeError(f"schedule.name: {error}") from None
    if not (makes(found, LRScheduler) or returns_function(found)):
        raise RecipeError(
            f"schedule.name is {path!r}, expected a subclass of torch's LRScheduler, or a function of the number of "
            "steps that is annotated to return one of the step: -> Callable[[int], float]"
        )
    return found


def _build(make: Callable[..., Any], schedule: Schedule, *arguments: Any, **options: Any) -> Any:
    try:
        return make(*arguments, **options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"schedule {schedule.name!r} rejects its arguments: {_first_line(error)}") from error


def _cosine(schedule: Schedule, progress: float, epoch: float) -> float:
    return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * progress)) / 2


def _poly(schedule: Schedule, progress: float, epoch: float) -> float:
    return (1 - progress) ** schedule.power


def _step(schedule: Schedule, progress: float, epoch: float) -> float:
    return schedule.gamma ** sum(epoch >= milestone for milestone in schedule.milestones)


def _one_cycle(schedule: Schedule, progress: float, epoch: float) -> float:
    start, peak = 1 / 25, schedule.warmup_fraction  # torch's OneCycleLR starts at max_lr / 25, too
    low, down = (start, 1 - progress / peak) if progress < peak else (schedule.final, (progress - peak) / (1 - peak))
    return low + (1 - low) * (1 + math.cos(math.pi * down)) / 2


_SHAPES: dict[str, Callable[[Schedule, float, float], float]] = {
    "constant": lambda schedule, progress, epoch: 1.0,
    "cosine": _cosine,
    "poly": _poly,
    "step": _step,
    "one-cycle": _one_cycle,
}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
