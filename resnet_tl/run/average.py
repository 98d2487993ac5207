"""The mean of the weights of several runs: one network, as fast as each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from resnet_tl import checkpoint
from resnet_tl.checkpoint import Bundle
from resnet_tl.data.base import ImageData
from resnet_tl.errors import DataError, RecipeError, RunError
from resnet_tl.run.averaged_scores import Score, Scorer, Weights
from resnet_tl.run.build import Overrides
from resnet_tl.run.ingredients import check_alike, learned_by, read_bundle
from resnet_tl.run.mixes import Mix, best_mix, check_order, curve_of, ends, write_curve
from resnet_tl.run.weighted_mean import mean
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.scores import at_least, lower_is_better
from resnet_tl.tensor_file import save_atomically
from resnet_tl.tracking.terminal import terminal_log

WISE_FT = "wise_ft.ckpt"
"""What the best mix of a run is called next to its checkpoints."""


@dataclass(frozen=True)
class Ingredient:
    """share: of the mean, 0...1; 0 if it was not kept."""

    path: Path
    score: Score
    share: float


@dataclass(frozen=True)
class Averaged:
    """A mean that was written.

    metric: what the scores are of.
    ingredients: as they were given, folds one by one; with `wise_ft` the run's end and that of its head's phase.
    notes: what is to be known about the result.
    curve: with `wise_ft` the mixes by rising share of the run's end, else empty.
    """

    path: Path
    metric: str
    ingredients: list[Ingredient]
    score: Score
    notes: list[str]
    curve: list[Mix] = field(default_factory=list)


def average(
    runs: Sequence[Path],
    out: Path | None = None,
    shares: Sequence[float] | None = None,
    overrides: Overrides = (),
    *,
    greedy: bool = False,
    wise_ft: bool = False,
    trust_code: bool = False,
) -> Averaged:
    """Writes the mean of the weights of runs and checkpoints as a checkpoint, and scores it next to them.

    All are scored on the validation images of the first. The running statistics of norms are estimated again over its
    training images, except those that are the same in all.

    Args:
        runs: run folders (their best checkpoints), folders of folds (all of them) and checkpoint files, of one network
            and the same classes; with `wise_ft` a single run or one of its checkpoints.
        out: a new file, `FILE.ckpt`; with `wise_ft` None is `wise_ft.ckpt` in the folder of the run's checkpoints.
        shares: of each in the mean, 0 or more; they are divided by their sum. None: all the same.
        overrides: of the first run's recipe, as `data.root` where its images have moved.
        greedy: start with the best, and keep each other, by falling score, only if the mean does not score lower.
        wise_ft: mix the run's end with the end of its head's phase (arXiv:2109.01903), in shares of 0, 0.1 ... 1, and
            write the mix that scores best, and the curve of all as a JSON file next to it.

    Raises:
        RecipeError: too few or too many runs, no file to write, or options that do not fit together.
        RunError: `out` exists; or with `wise_ft`, the run has no end of a head's phase.
        WeightsError: a run is not there, damaged, exported, or not of the same network.
        DataError: the first run's images cannot be read; or with `greedy` or `wise_ft`, there are no validation images,
            or a run was trained on them.
    """
    paths = [Path(member) for run in runs for member in checkpoint.members(run)]
    _check_options(paths, shares, greedy=greedy, wise_ft=wise_ft)
    if wise_ft:
        paths = ends(paths[0])
        out = out or paths[0].with_name(WISE_FT)
    out = _checked_out(out, wise_ft)
    with terminal_log():
        bundles = [read_bundle(path, trust_code) for path in paths]
        if wise_ft:
            check_order(*bundles)
        check_alike(bundles)
        scorer = Scorer(bundles, overrides)
        learned = learned_by(bundles, scorer.data)
        if greedy or wise_ft:
            _check_choosable(scorer.data, learned, "--greedy" if greedy else "--wise-ft")
        made = _mixed(bundles, scorer) if wise_ft else _soup(bundles, scorer, shares, greedy)
        _save(bundles, made.state, out)
        metric, total = scorer.task.metrics.headline, math.fsum(made.shares)
        if wise_ft:
            write_curve(curve_of(out), metric, paths, made.curve, made.shares[0])
    ingredients = [
        Ingredient(path, score, share / total)
        for path, score, share in zip(paths, made.scores, made.shares, strict=True)
    ]
    return Averaged(out, metric, ingredients, made.score, [*learned, *scorer.notes, *_dropped(bundles)], made.curve)


class _Made(NamedTuple):
    """shares, scores: of the ingredients. state, score: of their mean."""

    shares: Sequence[float]
    scores: list[Score]
    state: Weights
    score: Score
    curve: list[Mix]


def _mixed(bundles: Sequence[Bundle], scorer: Scorer) -> _Made:
    end, head = bundles
    curve, best, state = best_mix(end.state_dict, head.state_dict, scorer)
    if best.share in (0, 1):
        alone = (end if best.share == 1 else head).path
        scorer.notes.append(f"no mix scores as high as {alone} alone, whose weights are written")
    return _Made([best.share, 1 - best.share], [curve[-1].score, curve[0].score], state, best.score, curve)


def _soup(bundles: Sequence[Bundle], scorer: Scorer, shares: Sequence[float] | None, greedy: bool) -> _Made:
    scores = [scorer.score(bundle.state_dict) for bundle in bundles]
    if greedy:
        shares, state, score = _chosen(bundles, scores, scorer)
    else:
        shares = [1.0] * len(bundles) if shares is None else shares
        state = mean([bundle.state_dict for bundle in bundles], shares)
        score = scorer.recalibrated(state)
    return _Made(shares, scores, state, score, [])


def _check_options(runs: Sequence[Path], shares: Sequence[float] | None, *, greedy: bool, wise_ft: bool) -> None:
    """Raises RecipeError for what can be refused before anything is read."""
    given = {"--weights": shares is not None, "--greedy": greedy, "--wise-ft": wise_ft}
    if len(names := [name for name, there in given.items() if there]) > 1:
        raise RecipeError(f"{' and '.join(names)}: each decides the shares by itself; name one of them")
    if wise_ft and len(runs) != 1:
        raise RecipeError(f"--wise-ft mixes one run with the end of its head's phase, but {len(runs)} are named")
    if not wise_ft and len(runs) < 2:
        raise RecipeError("average needs two or more runs or checkpoints: resnet-tl average RUN RUN --out FILE.ckpt")
    if shares is None:
        return
    if len(shares) != len(runs):
        raise RecipeError(f"--weights has {len(shares)} shares for {len(runs)} runs; expected one for each")
    if min(shares) < 0 or not 0 < sum(shares) < math.inf:
        text = " ".join(f"{share:g}" for share in shares)
        raise RecipeError(f"--weights {text}: expected shares of 0 or more with a positive sum, as 0.3 0.7")


def _checked_out(out: Path | None, wise_ft: bool) -> Path:
    """Raises RecipeError: there is none, or it has another ending. RunError: it exists."""
    if out is None:
        raise RecipeError("average needs a file to write: --out FILE.ckpt")
    for path in [out, *([curve_of(out)] if wise_ft else [])]:
        if path.exists():
            raise RunError(f"{path}: exists already, and nothing is overwritten; name another: --out FILE.ckpt")
    if out.suffix != ".ckpt":
        raise RecipeError(f"--out {out}: expected a file that ends in .ckpt")
    return out


def _check_choosable(data: ImageData, learned: Sequence[str], option: str) -> None:
    """Raises DataError unless the validation images can choose between weights."""
    if "val" not in data.listings:
        raise DataError(f"{data.root} has no validation images, by which {option} chooses")
    if learned:
        raise DataError(
            f"{learned[0]}, so {option} cannot choose by them; leave it out, or name runs with these validation "
            "images, or images that no run was trained on: --data.root PATH"
        )


def _chosen(bundles: Sequence[Bundle], scores: Sequence[Score], scorer: Scorer) -> tuple[list[float], Weights, Score]:
    """Returns the shares, weights and score of the greedy mean."""
    metric = scorer.task.metrics.headline
    falling = not lower_is_better(metric)
    best, *others = sorted(range(len(bundles)), key=lambda index: scores[index].value, reverse=falling)
    kept, state, score = [best], bundles[best].state_dict, scores[best]
    for index in others:
        candidates = [*kept, index]
        candidate = mean([bundles[each].state_dict for each in candidates], [1.0] * len(candidates))
        if at_least(metric, (reached := scorer.recalibrated(candidate)).value, score.value):
            kept, state, score = candidates, candidate, reached
    if len(kept) == 1:
        scorer.notes.append(f"no mean scores as high as {bundles[best].path} alone, whose weights are written")
    return [float(index in kept) for index in range(len(bundles))], state, score


def _save(bundles: Sequence[Bundle], state: Weights, out: Path) -> None:
    first = bundles[0]
    content = checkpoint.bundle(
        first.recipe["model"],
        first.classes,
        first.preprocessing,
        first.recipe,
        eval_transforms=first.eval_transforms,
        colours=first.colours,
        codes=first.codes,
        new_classes=first.new_classes,
    )
    save_atomically(
        {
            "state_dict": {f"network.{key}": tensor for key, tensor in state.items()},
            "epoch": max(bundle.epoch for bundle in bundles),
            "global_step": max(bundle.step for bundle in bundles),
            checkpoint.KEY: content,
        },
        out,
    )


def _dropped(bundles: Sequence[Bundle]) -> list[str]:
    if all(bundle.decisions == Decisions() for bundle in bundles):
        return []
    return [
        "what validation decided for the runs (temperatures, thresholds of scores, limits of unlike images) does not "
        "hold for their mean, and is not in it"
    ]
