"""What is trained, when and how fast: a recipe's `tuning`, resolved against the stages of a network. No torch."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from annotated_types import Gt, Le, Lt

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.ranges import FractionBelow1, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, checked

KINDS = ("norms", "biases")
"""What of a stage can be trained alone."""


@checked("phase")
@dataclass
class Phase:
    """A part of the run in which the same stages are trained.

    Args:
        epochs: its length, in epochs or as a share of the run between 0 and 1 (`0.2`: a fifth of `max_epochs`, rounded,
            but so that every phase has at least 1 epoch). Only the last phase may omit it and then lasts to the end
            of the run.
        train: stages by name or glob (`[layer4, head]`, `[layer*]`), or `all`; the others are frozen. Next to stages,
            `norms` names the weights and biases of the normalisations in every stage, and `biases` every parameter
            called `bias` (arXiv:2106.10199), those of norms included. The rest of a stage that is only named this way
            is frozen, running statistics too, except that norms follow `tuning.norm` where `norms` are trained.
        lr: factors on `optimizer.lr` by stage name or glob; the first match counts, 1 where nothing matches.
        layer_decay: a further factor, applied once per stage from the head (factor 1) down to the stem.
        restart: starts the schedule again with this phase; it spans this phase and those after it, up to the next
            that restarts. The schedule before it ends with the previous phase.
        until: `plateau` ends the phase, or with the last phase the run, when `monitor` stops improving; `epochs` is
            then its maximum length. Later phases start earlier, and the last one lasts longer.
        patience: of `plateau`: validations without a new best after which the phase ends.
        monitor: of `plateau`: a metric to minimise (its name ends in loss, error or ece) or maximise (any other).
        restore_best: of `plateau`: end the phase with the weights of its best validation.
    """

    train: list[str] | str = "all"
    epochs: PositiveInt | Annotated[float, Gt(0), Lt(1)] | None = None
    lr: dict[str, PositiveFloat] = field(default_factory=dict)
    layer_decay: Annotated[float, Gt(0), Le(10)] = 1.0
    restart: bool = False
    until: Literal["epochs", "plateau"] = "epochs"
    patience: PositiveInt = 3
    monitor: str = "val/loss"
    restore_best: bool = False


@checked("tuning")
@dataclass
class Tuning:
    """How a network is fine-tuned.

    Args:
        phases: a list; or `gradual` or `lpft`, whose phases are derived from the stages and `max_epochs`
            (`resnet-tl plan` shows them).
        norm: normalisation in trained stages: by the batch (`train`) or by the running statistics (`frozen`). Frozen
            stages always use the running statistics.
        ema: decay per step of the averaged weights that validation and checkpoints use, e.g. 0.999; None: no average.
        l2_sp: strength of the L2-SP penalty (arXiv:1802.01483), e.g. 0.01 to 0.1: stages with loaded weights are
            pulled towards these and have no weight decay; 0: off.
        recalibrate: number of training batches, without mixup, over which the running statistics of trained norms are
            estimated again at the end of the run, before its last validation; with `ema` those of the averaged
            weights. 0: off.
        allow_untrained: allow a plan to freeze a stage whose weights were neither loaded nor trained.
        compile: run the stages that are frozen from the input on through torch.compile.
        cache: cache the features that these stages compute on disk: `auto` where nothing random precedes them and it
            saves time, `on` (an error where it is impossible), `off`.
        views: cache this many fixed augmented views of each image and use them in turn, one an epoch; 0: every epoch
            draws its own.
        cache_half: store cached features in 16 bits.
    """

    phases: list[Phase] | Literal["gradual", "lpft"] = field(default_factory=lambda: [Phase()])
    norm: Literal["train", "frozen"] = "train"
    ema: FractionBelow1 | None = None
    l2_sp: NonNegativeFloat = 0.0
    recalibrate: NonNegativeInt = 0
    allow_untrained: bool = False
    compile: bool = False
    cache: Literal["auto", "on", "off"] = "auto"
    views: NonNegativeInt = 0
    cache_half: bool = False


@dataclass(frozen=True)
class ResolvedPhase:
    """A phase with its epochs and stages.

    Args:
        start, end: its epochs are `start` <= e < `end`.
        factors: on the learning rate of every stage, 0 where it is frozen.
        parts: stages that are trained in part, and which parts: `norms`, `biases`.
        settings: the recipe's phase.
    """

    start: int
    end: int
    factors: Mapping[str, float]
    parts: Mapping[str, Sequence[str]]
    settings: Phase

    @property
    def trained(self) -> list[str]:
        """Stages that are trained, in whole or in part."""
        return [stage for stage, factor in self.factors.items() if factor > 0]

    @property
    def frozen(self) -> list[str]:
        """Stages without a trained parameter."""
        return [stage for stage, factor in self.factors.items() if factor == 0]


@dataclass(frozen=True)
class Plan:
    """Phases that cover the run without a gap."""

    phases: tuple[ResolvedPhase, ...]

    def index_at(self, epoch: int) -> int:
        """Returns the index of the phase that `epoch` is in."""
        ended = sum(epoch >= phase.end for phase in self.phases)
        return min(ended, len(self.phases) - 1)

    def with_start(self, index: int, epoch: int) -> Plan:
        """Returns the plan whose phase `index` starts early, at `epoch`.

        Later phases move up by as much; the last one still ends with the run.
        """
        moved, last = self.phases[index].start - epoch, len(self.phases) - 1
        later = [
            replace(phase, start=phase.start - moved, end=phase.end - (moved if number < last else 0))
            for number, phase in enumerate(self.phases[index:], index)
        ]
        earlier = list(self.phases[:index])
        return Plan((*earlier[:-1], *(replace(phase, end=epoch) for phase in earlier[-1:]), *later))

    def unfreezes(self) -> bool:
        """Whether a later phase trains anything that the first one does not."""
        trained = [
            {(stage, kind) for stage in phase.trained for kind in phase.parts.get(stage, (*KINDS, "the rest"))}
            for phase in self.phases
        ]
        return any(later - trained[0] for later in trained)

    def schedule_spans(self) -> list[tuple[int, int]]:
        """Returns the epochs from each start of the schedule to the next: the whole run where no phase restarts it."""
        starts = [phase.start for index, phase in enumerate(self.phases) if index == 0 or phase.settings.restart]
        return list(zip(starts, [*starts[1:], self.phases[-1].end], strict=True))


def resolve(
    tuning: Tuning,
    stages: Sequence[str],
    epochs: int,
    trained_before: Sequence[str] | None = None,
    kinds: Mapping[str, Collection[str]] | None = None,
) -> Plan:
    """Returns the plan of a run of `epochs` over `stages` (input to output).

    Args:
        trained_before: stages whose weights were loaded; None if unknown: then a plan may freeze any stage.
        kinds: which of `norms` and `biases` each stage has; None: both everywhere.

    Raises:
        RecipeError: a phase trains nothing, names no stage or freezes what was never trained, or lengths do not add up.
    """
    _check_options(tuning)
    phases = _phases(tuning.phases, stages, epochs)
    ends = _ends(phases, epochs)
    starts = [0, *ends[:-1]]
    kinds = kinds or dict.fromkeys(stages, KINDS)
    resolved = []
    for index, (start, end, phase) in enumerate(zip(starts, ends, phases, strict=True)):
        whole, parts = _trained(phase, f"tuning.phases[{index}]", stages, kinds)
        factors = _factors(phase, f"tuning.phases[{index}]", stages, {*whole, *parts})
        resolved.append(ResolvedPhase(start, end, factors, parts, phase))
    plan = Plan(tuple(resolved))
    if trained_before is not None and not tuning.allow_untrained:
        _check_trained(plan, trained_before)
    return plan


def gradual(stages: Sequence[str], epochs: int) -> list[Phase]:
    """Unfreezes stages one after another from the head down, evenly over the first half of the run; each is trained at
    0.7 of the rate of the one above it (arXiv:1801.06146, section 3.3). A short run unfreezes several at once."""
    steps = max(len(stages) - 1, 1)
    unfrozen = [min(math.ceil(above * epochs / (2 * steps)), epochs - 1) for above in range(len(stages))]
    starts = sorted(set(unfrozen))
    trained = [list(stages[-bisect_right(unfrozen, start) :]) for start in starts]
    lengths = [end - start for start, end in zip(starts, [*starts[1:], epochs], strict=True)]
    return [Phase(train, length, layer_decay=0.7) for train, length in zip(trained, lengths, strict=True)]


def lpft(stages: Sequence[str], epochs: int) -> list[Phase]:
    """Linear probing, then fine-tuning (arXiv:2202.10054): the head alone for half of the epochs, then all stages at a
    tenth of the rate; each half has its own schedule."""
    if epochs < 2:
        raise RecipeError(f"tuning.phases: lpft needs at least 2 epochs, but trainer.max_epochs is {epochs}")
    return [Phase([stages[-1]], epochs=(epochs + 1) // 2), Phase(lr={"*": 0.1}, restart=True)]


_NAMED = {"gradual": gradual, "lpft": lpft}


def _check_options(tuning: Tuning) -> None:
    if tuning.recalibrate and tuning.norm == "frozen":
        raise RecipeError(f"tuning.recalibrate is {tuning.recalibrate}, but norm: frozen keeps the statistics")


def _phases(phases: list[Phase] | str, stages: Sequence[str], epochs: int) -> list[Phase]:
    if isinstance(phases, list):
        return phases
    return _NAMED[phases](stages, epochs)


def _ends(phases: Sequence[Phase], epochs: int) -> list[int]:
    """Returns the epoch at which each phase ends; the last one ends with the run."""
    _check_lengths(phases, epochs)
    ends: list[int] = []
    for index, phase in enumerate(phases):
        done = ends[-1] if ends else 0
        left = epochs - done - sum(map(_fewest_epochs, phases[index + 1 :]))
        ends.append(done + _length(phase, epochs, left))
    return [*ends[:-1], epochs]


def _length(phase: Phase, epochs: int, left: int) -> int:
    """Returns the length in epochs of a phase of a run of `epochs`, of which later phases leave it `left`."""
    if isinstance(phase.epochs, int):
        return phase.epochs
    return left if phase.epochs is None else min(max(round(phase.epochs * epochs), 1), left)


def _check_lengths(phases: Sequence[Phase], epochs: int) -> None:
    if not phases:
        raise RecipeError("tuning.phases is empty, expected at least one phase")
    for index, phase in enumerate(phases):
        length = phase.epochs
        if length is None and index < len(phases) - 1:
            raise RecipeError(f"tuning.phases[{index}] has no epochs; only the last phase may omit them")
    open_ended = phases[-1].epochs is None
    lengths = [phase.epochs for phase in phases if isinstance(phase.epochs, int)]
    shares = [phase.epochs for phase in phases if isinstance(phase.epochs, float)]
    fixed, share = sum(lengths), math.fsum(shares)
    others = bool(lengths) or open_ended
    if shares and (share >= 1 if others else share > 1):
        raise RecipeError(
            f"tuning.phases are shares of the run that add up to {share:g}{', next to phases without one' * others}; "
            f"expected {'less than' if others else 'at most'} 1"
        )
    if not shares and fixed + open_ended > epochs:
        raise RecipeError(
            f"tuning.phases last {fixed} epochs{' and one without a length' if open_ended else ''}, but "
            f"trainer.max_epochs is {epochs}; expected {fixed + open_ended} or more, or shorter phases"
        )
    fewest = sum(map(_fewest_epochs, phases))
    if fewest > epochs:
        raise RecipeError(
            f"tuning.phases need {fewest} epochs, at least 1 each, but trainer.max_epochs is {epochs}; "
            f"expected {fewest} or more, or fewer phases"
        )


def _fewest_epochs(phase: Phase) -> int:
    return phase.epochs if isinstance(phase.epochs, int) else 1


def _trained(
    phase: Phase, where: str, stages: Sequence[str], kinds: Mapping[str, Collection[str]]
) -> tuple[set[str], dict[str, list[str]]]:
    """Returns the stages trained in whole, and those trained in part with their parts."""
    if phase.train == "all":
        return set(stages), {}
    if isinstance(phase.train, str):
        raise RecipeError(f"{where}.train is {phase.train!r}, expected 'all' or a list of stages: [{phase.train}]")
    patterns = [pattern for pattern in phase.train if pattern not in KINDS]
    wanted_kinds = [kind for kind in KINDS if kind in phase.train]
    whole = {stage for pattern in patterns for stage in _matching(pattern, f"{where}.train", stages)}
    parts = {stage: [kind for kind in wanted_kinds if kind in kinds[stage]] for stage in stages if stage not in whole}
    parts = {stage: trained for stage, trained in parts.items() if trained}
    if not whole and not parts:
        fault = f"names {' and '.join(wanted_kinds)}, which no stage has" if wanted_kinds else "is empty"
        raise RecipeError(f"{where}.train {fault}, expected 'all' or stages of {', '.join(stages)}")
    return whole, parts


def _factors(phase: Phase, where: str, stages: Sequence[str], trained: Collection[str]) -> dict[str, float]:
    by_name: dict[str, float] = {}
    for pattern, factor in phase.lr.items():
        for stage in _matching(pattern, f"{where}.lr", stages):
            by_name.setdefault(stage, factor)
    return {
        stage: by_name.get(stage, 1.0) * phase.layer_decay ** (len(stages) - 1 - depth) if stage in trained else 0.0
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
    for index, phase in enumerate(plan.phases):
        whole = {stage for stage in phase.trained if stage not in phase.parts}
        for stage in phase.factors:
            if stage not in trained | whole:
                raise RecipeError(
                    f"tuning.phases[{index}] freezes {stage!r}, whose weights are random: they were neither loaded "
                    "nor trained; name backbone.weights, train it, or set tuning.allow_untrained: true"
                )
        trained |= whole
