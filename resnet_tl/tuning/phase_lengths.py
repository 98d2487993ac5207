"""The lengths of phases, which recipes give in epochs or as shares of the run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.plan import Phase


def phase_ends(phases: Sequence[Phase], epochs: int) -> list[int]:
    """Returns the epoch at which each phase ends; the last one ends with the run. Of phases without a length in epochs,
    the first ones get none if the run has fewer epochs than phases.

    Raises:
        RecipeError: the phases do not fit into the run, a phase before the last has no length, or a solver longer than
            1 epoch.
    """
    _check_lengths(phases, epochs)
    skipped = max(len(phases) - epochs, 0)
    ends = [0] * skipped
    for index, phase in enumerate(phases[skipped:], skipped):
        done = ends[-1] if ends else 0
        # A rounded share may be too long for a short run: later phases keep the fewest epochs that they need.
        left = epochs - done - sum(map(_fewest_epochs, phases[index + 1 :]))
        ends.append(done + _length(phase, epochs, left))
    if phases[-1].solver is not None and ends[-1] < epochs:
        raise RecipeError(
            f"tuning.phases last {ends[-1]} epochs, of which a solver takes the last, but trainer.max_epochs is "
            f"{epochs}; set it to {ends[-1]}, or add a phase"
        )
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
        if phase.solver is not None and length != 1:
            raise RecipeError(f"tuning.phases[{index}].solver takes 1 epoch, but epochs is {length}; omit epochs")
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
    if lengths and fewest > epochs:
        raise RecipeError(
            f"tuning.phases need {fewest} epochs, at least 1 each, but trainer.max_epochs is {epochs}; "
            f"expected {fewest} or more, or fewer phases"
        )


def _fewest_epochs(phase: Phase) -> int:
    return phase.epochs if isinstance(phase.epochs, int) else 1
