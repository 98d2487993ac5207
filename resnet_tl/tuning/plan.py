"""What is trained, when and how fast: a recipe's `tuning`, resolved against the stages of a network. No torch."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal

from resnet_tl.errors import RecipeError, did_you_mean

KINDS = ("norms", "biases")
"""What of a stage can be trained alone."""


@dataclass
class Phase:
    """One stretch of training.

    Args:
        epochs: its length; only the last phase may leave it out and then lasts to the end of the run.
        train: stages by name or glob (`[layer4, head]`, `[layer*]`), or `all`; the others are frozen. Beside stages,
            `norms` are the weights and biases of the normalisations in every stage, `biases` whatever is called `bias`
            in every stage (arXiv:2106.10199), those of norms included. Of a stage trained in that way alone everything
            else is frozen, running statistics too, except that norms go by `tuning.norm` where `norms` are trained.
        lr: factors on `optimizer.lr` by stage name or glob; the first that matches counts, 1 where none does.
        layer_decay: one more factor, once per stage from the head (factor 1) down to the stem.
        restart: the schedule ends with the phase before and begins anew with this one; it then spans this phase and
            those after it, up to the next that restarts.
        until: `plateau` ends the phase, and with the last phase the run, when `monitor` stalls; `epochs` is then its
            longest length. Phases after it begin earlier, the last one lasts longer.
        patience: of `plateau`: validations without a new best that are one too many.
        monitor: of `plateau`: a metric that falls (its name ends in loss, error or ece) or rises (any other).
        restore_best: of `plateau`: end the phase with the weights of its best validation.
    """

    train: list[str] | str = "all"
    epochs: int | None = None
    lr: dict[str, float] = field(default_factory=dict)
    layer_decay: float = 1.0
    restart: bool = False
    until: Literal["epochs", "plateau"] = "epochs"
    patience: int = 3
    monitor: str = "val/loss"
    restore_best: bool = False


@dataclass
class Tuning:
    """How a network is fine-tuned.

    Args:
        phases: one after another; or `gradual` or `lpft`, whose phases follow from stages and `max_epochs` (see
            `gradual` and `lpft` below; `resnet-tl plan` shows them).
        norm: normalisation in trained stages: by the batch (`train`) or by the running statistics (`frozen`). In frozen
            stages it is always frozen.
        ema: decay a step of the averaged weights that validation and checkpoints use (0.999, say); None: no average.
        l2_sp: strength of the pull towards the loaded weights (L2-SP, arXiv:1802.01483; 0.01 to 0.1, say): in stages
            that were loaded it takes the place of the optimizer's weight decay; 0: none.
        recalibrate: training batches, without mixup, over which the running statistics of trained norms are estimated
            anew at the end of the run, before its last validation; with `ema` those of the averaged weights. 0: never.
        allow_untrained: let a plan freeze a stage whose weights were neither loaded nor trained.
        compile: run the stages frozen from the input on through torch.compile.
        cache: keep on disk what these stages make of the images, computed once: `auto` where nothing random precedes
            them and it saves time, `on` (an error where it cannot be), `off`.
        views: keep so many fixed augmented views of each image, one an epoch in turn; 0: every epoch draws its own.
        cache_half: keep them in 16 bits.
    """

    phases: list[Phase] | Literal["gradual", "lpft"] = field(default_factory=lambda: [Phase()])
    norm: Literal["train", "frozen"] = "train"
    ema: float | None = None
    l2_sp: float = 0.0
    recalibrate: int = 0
    allow_untrained: bool = False
    compile: bool = False
    cache: Literal["auto", "on", "off"] = "auto"
    views: int = 0
    cache_half: bool = False


@dataclass(frozen=True)
class Stretch:
    """A phase resolved.

    Args:
        start, end: epochs `start` <= e < `end`.
        factors: on the learning rate of every stage, 0 = frozen.
        parts: the stages that are trained in part, and in which: `norms`, `biases`.
        phase: what the recipe says.
    """

    start: int
    end: int
    factors: Mapping[str, float]
    parts: Mapping[str, Sequence[str]]
    phase: Phase

    @property
    def trained(self) -> list[str]:
        """Stages that are trained, whole or in part."""
        return [stage for stage, factor in self.factors.items() if factor > 0]

    @property
    def frozen(self) -> list[str]:
        """Stages of which nothing is trained."""
        return [stage for stage, factor in self.factors.items() if factor == 0]


@dataclass(frozen=True)
class Plan:
    """Stretches that cover the run without a gap; `phase(epoch)` is the number of the one that counts, from 0."""

    stretches: tuple[Stretch, ...]

    def phase(self, epoch: int) -> int:
        ended = [number for number, stretch in enumerate(self.stretches) if epoch >= stretch.end]
        return min(len(ended), len(self.stretches) - 1)

    def begun(self, number: int, epoch: int) -> Plan:
        """The plan when phase `number` has begun at `epoch` already: later ones move up, the run ends as planned."""
        moved, last = self.stretches[number].start - epoch, len(self.stretches) - 1
        later = [
            replace(stretch, start=stretch.start - moved, end=stretch.end - (moved if number + place < last else 0))
            for place, stretch in enumerate(self.stretches[number:])
        ]
        earlier = list(self.stretches[:number])
        return Plan((*earlier[:-1], *(replace(stretch, end=epoch) for stretch in earlier[-1:]), *later))

    def thaws(self) -> bool:
        """Whether a later phase trains anything that the first does not."""
        learning = [
            {(stage, kind) for stage in stretch.trained for kind in stretch.parts.get(stage, (*KINDS, "the rest"))}
            for stretch in self.stretches
        ]
        return any(later - learning[0] for later in learning)

    def spans(self) -> list[tuple[int, int]]:
        """Epochs from one start of the schedule to the next: one span of the whole run where no phase restarts it."""
        starts = [
            stretch.start for number, stretch in enumerate(self.stretches) if number == 0 or stretch.phase.restart
        ]
        return list(zip(starts, [*starts[1:], self.stretches[-1].end], strict=True))


def resolve(
    tuning: Tuning,
    stages: Sequence[str],
    epochs: int,
    trained_before: Sequence[str] | None = None,
    kinds: Mapping[str, Collection[str]] | None = None,
) -> Plan:
    """The plan of a run of `epochs` over `stages` (input to output).

    Args:
        trained_before: stages whose weights were loaded; None when nobody knows, then nothing is checked against it.
        kinds: which of `norms` and `biases` each stage has; None: both everywhere.

    Raises:
        RecipeError: a phase trains nothing, names no stage or freezes what was never trained, or lengths do not add up.
    """
    _check_options(tuning)
    phases = _phases(tuning.phases, stages, epochs)
    ends = _ends(phases, epochs)
    starts = [0, *ends[:-1]]
    kinds = kinds or dict.fromkeys(stages, KINDS)
    stretches = []
    for number, (start, end, phase) in enumerate(zip(starts, ends, phases, strict=True)):
        whole, parts = _trained(phase, f"tuning.phases[{number}]", stages, kinds)
        factors = _factors(phase, f"tuning.phases[{number}]", stages, {*whole, *parts})
        stretches.append(Stretch(start, end, factors, parts, phase))
    plan = Plan(tuple(stretches))
    if trained_before is not None and not tuning.allow_untrained:
        _check_trained(plan, trained_before)
    return plan


def gradual(stages: Sequence[str], epochs: int) -> list[Phase]:
    """Stages thaw one after another from the head down, evenly over the first half of the run; each is trained at 0.7
    of the rate of the one above it (arXiv:1801.06146, section 3.3). In a short run several thaw together."""
    steps = max(len(stages) - 1, 1)
    thaws = [min(math.ceil(above * epochs / (2 * steps)), epochs - 1) for above in range(len(stages))]
    starts = sorted(set(thaws))
    trained = [list(stages[-bisect_right(thaws, start) :]) for start in starts]
    lengths = [end - start for start, end in zip(starts, [*starts[1:], epochs], strict=True)]
    return [Phase(train, length, layer_decay=0.7) for train, length in zip(trained, lengths, strict=True)]


def lpft(stages: Sequence[str], epochs: int) -> list[Phase]:
    """A linear probe, then everything (arXiv:2202.10054): the head alone for half of the epochs, then all stages at a
    tenth of the rate, each half with a schedule of its own."""
    if epochs < 2:
        raise RecipeError(f"tuning.phases: lpft needs at least 2 epochs, but trainer.max_epochs is {epochs}")
    return [Phase([stages[-1]], epochs=(epochs + 1) // 2), Phase(lr={"*": 0.1}, restart=True)]


_WORDS = {"gradual": gradual, "lpft": lpft}


def _check_options(tuning: Tuning) -> None:
    for name, value in (("l2_sp", tuning.l2_sp), ("recalibrate", tuning.recalibrate)):
        if value < 0:
            raise RecipeError(f"tuning.{name} is {value}, expected 0 or more")
    if tuning.recalibrate and tuning.norm == "frozen":
        raise RecipeError(f"tuning.recalibrate is {tuning.recalibrate}, but norm: frozen keeps the statistics")


def _phases(phases: list[Phase] | str, stages: Sequence[str], epochs: int) -> list[Phase]:
    if isinstance(phases, list):
        return phases
    if phases not in _WORDS:
        near = did_you_mean(phases, _WORDS)
        raise RecipeError(f"tuning.phases is {phases!r}, expected {', '.join(_WORDS)} or a list of phases{near}")
    return _WORDS[phases](stages, epochs)


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
        if phase.patience < 1:
            raise RecipeError(f"tuning.phases[{number}].patience is {phase.patience}, expected at least 1 validation")
        done = ends[-1] if ends else 0
        ends.append(epochs if phase.epochs is None else done + phase.epochs)
    fixed = sum(phase.epochs or 0 for phase in phases)
    if fixed > epochs or (phases[-1].epochs is None and fixed == epochs):
        open_ended = phases[-1].epochs is None
        raise RecipeError(
            f"tuning.phases last {fixed} epochs{' and one without a length' if open_ended else ''}, but "
            f"trainer.max_epochs is {epochs}; expected {fixed + open_ended} or more, or shorter phases"
        )
    return [*ends[:-1], epochs]


def _trained(
    phase: Phase, where: str, stages: Sequence[str], kinds: Mapping[str, Collection[str]]
) -> tuple[set[str], dict[str, list[str]]]:
    """The stages trained whole, and those trained in part."""
    if phase.train == "all":
        return set(stages), {}
    if isinstance(phase.train, str):
        raise RecipeError(f"{where}.train is {phase.train!r}, expected 'all' or a list of stages: [{phase.train}]")
    named = [pattern for pattern in phase.train if pattern not in KINDS]
    asked = [kind for kind in KINDS if kind in phase.train]
    whole = {stage for pattern in named for stage in _matching(pattern, f"{where}.train", stages)}
    parts = {stage: [kind for kind in asked if kind in kinds[stage]] for stage in stages if stage not in whole}
    parts = {stage: own for stage, own in parts.items() if own}
    if not whole and not parts:
        lacking = f"asks for {' and '.join(asked)}, which no stage has" if asked else "is empty"
        raise RecipeError(f"{where}.train {lacking}, expected 'all' or stages of {', '.join(stages)}")
    return whole, parts


def _factors(phase: Phase, where: str, stages: Sequence[str], trained: Collection[str]) -> dict[str, float]:
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
        whole = {stage for stage in stretch.trained if stage not in stretch.parts}
        for stage in stretch.factors:
            if stage not in trained | whole:
                raise RecipeError(
                    f"tuning.phases[{number}] freezes {stage!r}, whose weights are random: they were neither loaded "
                    "nor trained; name backbone.weights, train it, or set tuning.allow_untrained: true"
                )
        trained |= whole
