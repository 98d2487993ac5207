"""Mixes of the end of a run with the end of its head's phase (WiSE-FT, arXiv:2109.01903), and their curve as a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from resnet_tl.checkpoint import Bundle, locate
from resnet_tl.errors import RunError
from resnet_tl.files import atomic_write
from resnet_tl.prediction.exported.load import refuse_exported
from resnet_tl.run.averaged_scores import Score, Scorer, Weights
from resnet_tl.run.head_checkpoint import HEAD
from resnet_tl.run.weighted_mean import mean
from resnet_tl.structures.scores import at_least

SHARES = tuple(step / 10 for step in range(11))
"""Of the run's end in the mixes."""


class Mix(NamedTuple):
    """share: of the run's end, 0...1; the rest is of the end of the head's phase."""

    share: float
    score: Score


def ends(run: Path) -> list[Path]:
    """Returns the checkpoints of a run's end and of the end of its head's phase.

    Args:
        run: its folder, whose best checkpoint is the end, or one of its checkpoints.

    Raises:
        WeightsError: there is no run. RunError: it has not saved the end of its head's phase.
    """
    refuse_exported(run)
    end = locate(run)
    head = end.with_name(HEAD)
    if not head.is_file():
        raise RunError(
            f"{head}: no such file; expected the checkpoint that a run writes when its phases of train: [head] are "
            "over, unless tracking.keep_head is false (`resnet-tl plan` shows the phases)"
        )
    return [end, head]


def check_order(end: Bundle, head: Bundle) -> None:
    """Raises RunError if the weights that are to be the end of the run are from the head's phase."""
    if end.step <= head.step:
        raise RunError(
            f"{end.path}: of step {end.step}, when only the head was trained (to step {head.step}), so there is "
            f"nothing to mix; name the last checkpoint: {end.path.with_name('last.ckpt')}"
        )


def best_mix(end: Weights, head: Weights, scorer: Scorer) -> tuple[list[Mix], Mix, Weights]:
    """Returns all mixes by rising share, the best of them, and its weights.

    The ends are among them, so that the best scores at least as high as both. Of equal scores it is the one nearest to
    the middle, which the paper recommends where nothing is known.
    """
    metric, best, weights = scorer.task.metrics.headline, Mix(1.0, scorer.score(end)), end
    curve = [best]
    for share in sorted(SHARES[:-1], key=lambda share: -abs(share - 0.5)):
        state = head if share == 0 else mean([end, head], [share, 1 - share])
        mix = Mix(share, scorer.score(state) if share == 0 else scorer.recalibrated(state))
        if at_least(metric, mix.score.value, best.score.value):
            best, weights = mix, state
        curve.append(mix)
    return sorted(curve), best, weights


def curve_of(out: Path) -> Path:
    """Returns the file of the curve next to that of the mix."""
    return out.with_suffix(".json")


def write_curve(path: Path, metric: str, ends: Sequence[Path], curve: Sequence[Mix], best: float) -> None:
    """Writes `{metric, end, head, best, mixes: [{share, value, low, high}, ...]}`.

    Args:
        ends: as `ends` returns them. best: the share of the run's end in the mix that was written.
    """
    mixes = []
    for share, score in curve:
        low, high = score.interval or (None, None)
        mixes.append({"share": share, "value": score.value, "low": low, "high": high})
    end, head = map(str, ends)
    content = {"metric": metric, "end": end, "head": head, "best": best, "mixes": mixes}
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=1).encode())
