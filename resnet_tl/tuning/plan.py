"""What is trained, when and how fast: a recipe's `tuning`, resolved against the stages of a network. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from resnet_tl.errors import RecipeError, did_you_mean


@dataclass
class Phase:
    """One stretch of training.

    Args:
        epochs: its length; only the last phase may leave it out and then lasts to the end of the run.
        train: stages by name or glob (`[layer4, head]`, `[layer*]`), or `all`; the others are frozen.
        lr: factors on `optimizer.lr` by stage name or glob; the first that matches counts, 1 where none does.
        layer_decay: one more factor, once per stage from the head (factor 1) down to the stem.
    """

    train: list[str] | str = "all"
    epochs: int | None = None
    lr: dict[str, float] = field(default_factory=dict)
    layer_decay: float = 1.0


@dataclass
class Tuning:
    """How a network is fine-tuned.

    Args:
        phases: one after another.
        norm: normalisation in trained stages: by the batch (`train`) or by the running statistics (`frozen`). In frozen
            stages it is always frozen.
        ema: decay a step of the averaged weights that validation and checkpoints use (0.999, say); None: no average.
        allow_untrained: let a plan freeze a stage whose weights were neither loaded nor trained.
    """

    phases: list[Phase] = field(default_factory=lambda: [Phase()])
    norm: Literal["train", "frozen"] = "train"
    ema: float | None = None
    allow_untrained: bool = False


@dataclass(frozen=True)
class Stretch:
    """A phase resolved: epochs `start` <= e < `end`, and the factor on the learning rate of every stage, 0 = frozen."""

    start: int
    end: int
    factors: Mapping[str, float]

    @property
    def trained(self) -> list[str]:
        return [stage for stage, factor in self.factors.items() if factor > 0]

    @property
    def frozen(self) -> list[str]:
        return [stage for stage, factor in self.factors.items() if factor == 0]


@dataclass(frozen=True)
class Plan:
    """Stretches that cover the run without a gap; `phase(epoch)` is the number of the one that counts, from 0."""

    stretches: tuple[Stretch, ...]

    def phase(self, epoch: int) -> int:
        ended = [number for number, stretch in enumerate(self.stretches) if epoch >= stretch.end]
        return min(len(ended), len(self.stretches) - 1)

    def table(self, parameters: Mapping[str, int]) -> str:
        """Stage by phase, for people: `parameters` counts those of each stage."""
        heads = [f"epochs {s.start}-{s.end - 1}" if s.end - s.start > 1 else f"epoch {s.start}" for s in self.stretches]
        rows = [["stage", "parameters", *heads]]
        for stage, count in parameters.items():
            rates = [_rate(stretch.factors[stage]) for stretch in self.stretches]
            rows.append([stage, f"{count:,}", *rates])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def resolve(tuning: Tuning, stages: Sequence[str], epochs: int, trained_before: Sequence[str] | None = None) -> Plan:
    """The plan of a run of `epochs` over `stages` (input to output).

    Args:
        trained_before: stages whose weights were loaded; None when nobody knows, then nothing is checked against it.

    Raises:
        RecipeError: a phase trains nothing, names no stage or freezes what was never trained, or lengths do not add up.
    """
    ends = _ends(tuning.phases, epochs)
    starts = [0, *ends[:-1]]
    factors = [_factors(phase, number, stages) for number, phase in enumerate(tuning.phases)]
    plan = Plan(tuple(Stretch(*stretch) for stretch in zip(starts, ends, factors, strict=True)))
    if trained_before is not None and not tuning.allow_untrained:
        _check_trained(plan, trained_before)
    return plan


def _ends(phases: Sequence[Phase], epochs: int) -> list[int]:
    if not phases:
        raise RecipeError("tuning.phases is empty, expected at least one phase")
    ends: list[int] = []
    for number, phase in enumerate(phases):
        last = number == len(phases) - 1
        if phase.epochs is None and not last:
            raise RecipeError(f"tuning.phases[{number}] has no epochs; only the last phase may leave them out")
        if phase.epochs is not None and phase.epochs < 1:
            raise RecipeError(f"tuning.phases[{number}].epochs is {phase.epochs}, expected at least 1")
        done = ends[-1] if ends else 0
        ends.append(epochs if phase.epochs is None else done + phase.epochs)
    fixed = sum(phase.epochs or 0 for phase in phases)
    if fixed > epochs or (phases[-1].epochs is None and fixed == epochs):
        needed = f"{fixed} epochs and one without a length" if phases[-1].epochs is None else f"{fixed} epochs"
        raise RecipeError(f"tuning.phases last {needed}, but trainer.max_epochs is {epochs}")
    return [*ends[:-1], epochs]


def _factors(phase: Phase, number: int, stages: Sequence[str]) -> dict[str, float]:
    where = f"tuning.phases[{number}]"
    if phase.train == "all":
        trained = set(stages)
    elif isinstance(phase.train, str):
        raise RecipeError(f"{where}.train is {phase.train!r}, expected 'all' or a list of stages: [{phase.train}]")
    else:
        trained = {stage for pattern in phase.train for stage in _matching(pattern, f"{where}.train", stages)}
    if not trained:
        raise RecipeError(f"{where}.train is empty, expected 'all' or stages of {', '.join(stages)}")
    if phase.layer_decay <= 0:
        raise RecipeError(f"{where}.layer_decay is {phase.layer_decay}, expected a factor above 0")
    named: dict[str, float] = {}
    for pattern, factor in phase.lr.items():
        if factor <= 0:
            raise RecipeError(f"{where}.lr.{pattern} is {factor}, expected a factor above 0 (freeze by leaving it out)")
        for stage in _matching(pattern, f"{where}.lr", stages):
            named.setdefault(stage, factor)
    return {
        stage: named.get(stage, 1.0) * phase.layer_decay ** (len(stages) - 1 - depth) if stage in trained else 0.0
        for depth, stage in enumerate(stages)
    }


def _matching(pattern: str, where: str, stages: Sequence[str]) -> list[str]:
    matching = [stage for stage in stages if fnmatchcase(stage, pattern)]
    if not matching:
        raise RecipeError(
            f"{where} names {pattern!r}, which no stage matches: {', '.join(stages)}{did_you_mean(pattern, stages)}"
        )
    return matching


def _check_trained(plan: Plan, trained_before: Sequence[str]) -> None:
    trained = set(trained_before)
    for number, stretch in enumerate(plan.stretches):
        for stage in stretch.frozen:
            if stage not in trained:
                raise RecipeError(
                    f"tuning.phases[{number}] freezes {stage!r}, whose weights are random: they were neither loaded "
                    "nor trained; name backbone.weights, train it, or set tuning.allow_untrained: true"
                )
        trained.update(stretch.trained)


def _rate(factor: float) -> str:
    return "frozen" if factor == 0 else f"lr x {factor:.4g}"
