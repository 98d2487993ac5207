"""Is one recipe better than another? Networks are scored on the same resamples of the same images (a paired bootstrap),
and runs that differ by their seed alone show how much of a difference is chance in training.

A paired interval is much narrower than the intervals of the scores, because all networks find the same images hard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from resnet_tl.metrics.bootstrap import RESAMPLES, SEED, Counts, mean_average_precisions, percentiles, resample
from resnet_tl.metrics.box_interval import mean_precisions, resamples_of
from resnet_tl.metrics.evaluated import metric_options, metrics_of
from resnet_tl.metrics.regression import image_errors
from resnet_tl.metrics.segmentation import mean_ious, summaries
from resnet_tl.structures.evaluation import BoxEvaluation, ClassEvaluation, Evaluation, PixelEvaluation, ValueEvaluation

Floats = NDArray[np.float64]
EvaluationT = TypeVar("EvaluationT", bound=Evaluation)


HELD = 2**27
"""Images times resamples that are held at once (512 MB); larger sets are resampled less often."""


class Difference(NamedTuple):
    """Mean score of the second runs minus that of the first, with its 95 % interval.

    images: how many all of them have predicted. seeds: whether the interval covers the choice of the seed, besides that
    of the images.
    """

    value: float
    low: float
    high: float
    images: int
    seeds: bool

    @property
    def sure(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


class Spread(NamedTuple):
    """Variance of the score between runs that differ by their seed alone, and its degrees of freedom; 0: unknown."""

    variance: float
    freedom: int


def spread(groups: Sequence[Sequence[Evaluation]]) -> Spread:
    """Pools the variance within groups of runs."""
    scores = [[headline(each) for each in common(group)] for group in groups if len(group) > 1]
    freedom = sum(len(each) - 1 for each in scores)
    squares = sum(float(np.var(each) * len(each)) for each in scores)
    return Spread(squares / freedom if freedom else 0.0, freedom)


def difference(
    first: Sequence[Evaluation], second: Sequence[Evaluation], chance: Spread = Spread(0.0, 0)
) -> Difference:
    """Compares the scores that runs are compared by, on the images that all runs have predicted.

    Args:
        first, second: runs that differ within by their seed alone; all of one task and the same classes, with at least
            one common image.
        chance: between such runs; without it, the interval is about these very networks.
    """
    every = common([*first, *second])
    counts = resample(np.random.default_rng(SEED), len(every[0]), min(map(_resamples, every)))
    sides = every[: len(first)], every[len(first) :]
    before, after = (np.mean([scores_in(each, counts) for each in side], axis=0) for side in sides)
    value = float(np.mean([headline(each) for each in sides[1]]) - np.mean([headline(each) for each in sides[0]]))
    if not chance.freedom:
        return Difference(value, *percentiles(after - before), len(every[0]), seeds=False)
    by_seed = chance.variance * (1 / len(first) + 1 / len(second))
    total = by_seed + float(np.var(after - before))
    # Satterthwaite's degrees of freedom: the variance over images is known well.
    freedom = chance.freedom * (total / by_seed) ** 2 if by_seed else np.inf
    half = float(stats.t.ppf(0.975, freedom)) * total**0.5
    return Difference(value, value - half, value + half, len(every[0]), seeds=True)


def common(evaluations: Sequence[EvaluationT]) -> list[EvaluationT]:
    """Returns the evaluations of the images that all of them have."""
    keys = reduce(np.intersect1d, [each.keys for each in evaluations])
    return [select(each, np.flatnonzero(np.isin(each.keys, keys))) for each in evaluations]


def _resamples(evaluation: Evaluation) -> int:
    wanted = resamples_of(evaluation) if isinstance(evaluation, BoxEvaluation) else RESAMPLES
    return int(np.clip(HELD // len(evaluation), 100, wanted))


def headline(evaluation: Evaluation) -> float:
    """Returns the score that runs are compared by."""
    metrics = metrics_of(evaluation)
    return metrics.compute(**metric_options(evaluation))[metrics.headline]


def scores_in(evaluation: Evaluation, counts: Counts) -> Floats:
    """Computes that score in each of R resamples, `[R]`.

    Args:
        counts: `[N, R]`, how often each image was drawn.
    """
    if isinstance(evaluation, PixelEvaluation):
        return mean_ious(summaries(evaluation.confusions()), counts, evaluation.absent)
    if isinstance(evaluation, BoxEvaluation):
        return mean_precisions(evaluation, counts)
    if isinstance(evaluation, ValueEvaluation):
        errors = image_errors(evaluation.predictions, evaluation.targets, evaluation.sd)
        return errors @ counts / counts.sum(0)
    assert isinstance(evaluation, ClassEvaluation)
    if evaluation.multi_label:
        return mean_average_precisions(evaluation.probabilities, evaluation.targets > 0, counts)
    right = evaluation.probabilities.argmax(1) == evaluation.targets
    return right @ counts / counts.sum(0)


def select(evaluation: EvaluationT, images: NDArray[np.int64]) -> EvaluationT:
    """Returns the evaluation of some images, by their ascending indices."""
    shared: dict[str, Any] = {"keys": evaluation.keys[images], "losses": evaluation.losses[images]}
    number = np.full(len(evaluation), -1)
    number[images] = np.arange(len(images))
    if isinstance(evaluation, PixelEvaluation):
        cells = evaluation.cells[number[evaluation.cells[:, 0]] >= 0]
        cells = np.concatenate([number[cells[:, :1]], cells[:, 1:]], 1)
        return replace(evaluation, **shared, cells=cells, surfaces=None)
    if isinstance(evaluation, BoxEvaluation):
        return replace(evaluation, **shared, **_objects(evaluation, images, number))
    assert isinstance(evaluation, (ClassEvaluation, ValueEvaluation))
    names = ("probabilities", "targets") if isinstance(evaluation, ClassEvaluation) else ("predictions", "targets")
    rows: dict[str, Any] = {name: getattr(evaluation, name)[images] for name in names}
    return replace(evaluation, **shared, **rows)


def _objects(e: BoxEvaluation, images: NDArray[np.int64], number: NDArray[np.int64]) -> dict[str, Any]:
    """The objects and detections of some images; masks are left out."""
    targets, found = number[e.target_image] >= 0, number[e.image] >= 0
    names = ("target_labels", "target_crowd", "target_area", "target_boxes")
    return {
        "sizes": e.sizes[images],
        "target_image": number[e.target_image[targets]],
        **{name: getattr(e, name)[targets] for name in names},
        "target_masks": np.zeros(0, np.uint8),
        "target_mask_bytes": np.zeros(int(targets.sum()), np.int64),
        "image": number[e.image[found]],
        **{name: getattr(e, name)[found] for name in ("labels", "scores", "boxes")},
        "masks": np.zeros(0, np.uint8),
        "mask_bytes": np.zeros(int(found.sum()), np.int64),
    }
