"""Resolving a recipe's `tuning` against the stages of a network and the length of a run. Imports no torch."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence, Sized
from fnmatch import fnmatchcase

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.tuning.phase_lengths import phase_ends
from resnet_tl.tuning.plan import KINDS, Phase, Plan, ResolvedPhase, Tuning


def resolve(
    tuning: Tuning,
    stages: Sequence[str],
    epochs: int,
    trained_before: Sequence[str] | None = None,
    kinds: Mapping[str, Collection[str]] | None = None,
    blocks: Mapping[str, Sized] | None = None,
) -> Plan:
    """Returns the plan of a run of `epochs` over `stages` (input to output).

    Args:
        trained_before: stages whose weights were loaded; None if unknown: then a plan may freeze any stage.
        kinds: which of `KINDS` each stage has; None: all everywhere.
        blocks: those of the stages that have several, for a plan that decays by them; None: none.

    Raises:
        RecipeError: a phase trains nothing, names no stage or freezes what was never trained, a solver has more to do
            than the last stage, or lengths do not add up.
    """
    _check_options(tuning)
    phases = _phases(tuning.phases, stages, epochs)
    ends = phase_ends(phases, epochs)
    starts = [0, *ends[:-1]]
    kinds = kinds or dict.fromkeys(stages, KINDS)
    resolved = []
    for index, (start, end, phase) in enumerate(zip(starts, ends, phases, strict=True)):
        whole, parts = _trained(phase, f"tuning.phases[{index}]", stages, kinds)
        trained = {*whole, *parts}
        _check_plateau(phase, f"tuning.phases[{index}]")
        if phase.solver is not None:
            _check_solver(phase, f"tuning.phases[{index}]", stages, trained)
        factors, of_blocks = _factors(phase, f"tuning.phases[{index}]", stages, trained, blocks or {})
        resolved.append(ResolvedPhase(start, end, factors, parts, phase, of_blocks))
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


def lpft_solved(stages: Sequence[str], epochs: int) -> list[Phase]:
    """`lpft` whose head is solved, in one epoch, in place of half of them."""
    return [Phase([stages[-1]], solver="lbfgs"), Phase(lr={"*": 0.1}, restart=True)]


def fixres(stages: Sequence[str], epochs: int) -> list[Phase]:
    """Trains at 176 pixels of 224, or as much of another `data.image_size`, at which random crops show objects about as
    large as evaluation does; then, for a tenth of the epochs, trains the head and the last normalisation on images as
    evaluation sees them (arXiv:1906.06423), at a twentieth of the rate as in github.com/facebookresearch/FixRes."""
    if epochs < 2:
        raise RecipeError(f"tuning.phases: fixres needs at least 2 epochs, but trainer.max_epochs is {epochs}")
    last = Phase(["last_norm", stages[-1]], lr={"*": 0.05}, restart=True, augment=False)
    return [Phase(epochs=epochs - max(round(epochs / 10), 1), image_size=176 / 224), last]


_NAMED = {"gradual": gradual, "lpft": lpft, "lpft_solved": lpft_solved, "fixres": fixres}


def _check_options(tuning: Tuning) -> None:
    if tuning.recalibrate and tuning.norm == "frozen":
        raise RecipeError(f"tuning.recalibrate is {tuning.recalibrate}, but norm: frozen keeps the statistics")
    if tuning.compile_mode != "default" and tuning.compile == "off":
        mode = tuning.compile_mode
        raise RecipeError(f"tuning.compile_mode is {mode}, but compile: off compiles nothing; set it to frozen or all")


def _phases(phases: list[Phase] | str, stages: Sequence[str], epochs: int) -> list[Phase]:
    if isinstance(phases, list):
        return phases
    return _NAMED[phases](stages, epochs)


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
    for stage in [stage for stage in stages if "last_norm" in kinds[stage]][:-1]:
        parts[stage] = [kind for kind in parts.get(stage, []) if kind != "last_norm"]
    parts = {stage: trained for stage, trained in parts.items() if trained}
    absent = [kind for kind in wanted_kinds if not any(kind in own for own in kinds.values())]
    if absent or not phase.train:
        fault = f"names {' and '.join(absent)}, which no stage has" if absent else "is empty"
        if "adapters" in absent:
            fault += " (backbone.adapters: true adds them)"
        raise RecipeError(f"{where}.train {fault}, expected 'all' or stages of {', '.join(stages)}")
    return whole, parts


def _check_plateau(phase: Phase, where: str) -> None:
    of_plateau = ("patience", "monitor", "restore_best")
    given = [name for name in of_plateau if getattr(phase, name) != getattr(Phase, name)]
    if given and phase.until != "plateau":
        raise RecipeError(f"{where}.{given[0]} is of until: plateau, but until is {phase.until}; set that, or omit it")


def _check_solver(phase: Phase, where: str, stages: Sequence[str], trained: Collection[str]) -> None:
    if trained != {stages[-1]}:
        named = ", ".join(stage for stage in stages if stage in trained)
        raise RecipeError(
            f"{where}.solver is {phase.solver}, which solves {stages[-1]!r} alone, but train names {named}; expected "
            f"train: [{stages[-1]}]"
        )
    stepping = [
        name
        for name, is_set in (
            ("lr", phase.lr),
            ("layer_decay", phase.layer_decay != 1),
            ("until", phase.until != "epochs"),
            ("image_size", phase.image_size is not None),
            ("augment", not phase.augment),
        )
        if is_set
    ]
    if stepping:
        raise RecipeError(
            f"{where}.{stepping[0]} is for phases of steps, but this one has a solver; omit one of the two"
        )


def _factors(
    phase: Phase, where: str, stages: Sequence[str], trained: Collection[str], blocks: Mapping[str, Sized]
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Returns the factors of the stages, and of the blocks of those that have several."""
    by_name: dict[str, float] = {}
    for pattern, factor in phase.lr.items():
        for stage in _matching(pattern, f"{where}.lr", stages):
            by_name.setdefault(stage, factor)
    factors: dict[str, list[float]] = {}
    above = 0  # of the head: how often it is decayed
    for stage in reversed(stages):
        count, by_block = len(blocks.get(stage, [stage])), phase.layer_decay_by == "block"
        depths = [above + (count - 1 - number if by_block else 0) for number in range(count)]
        above = depths[0] + 1
        own = by_name.get(stage, 1.0) if stage in trained else 0.0
        factors[stage] = [own * phase.layer_decay**depth for depth in depths]
    return {stage: factors[stage][-1] for stage in stages}, {stage: factors[stage] for stage in blocks}


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
        if phase.start == phase.end:
            continue
        whole = {stage for stage in phase.trained if stage not in phase.parts}
        for stage in phase.factors:
            if stage not in trained | whole:
                raise RecipeError(
                    f"tuning.phases[{index}] freezes {stage!r}, whose weights are random: they were neither loaded "
                    "nor trained; name backbone.weights, train it, or set tuning.allow_untrained: true"
                )
        trained |= whole
