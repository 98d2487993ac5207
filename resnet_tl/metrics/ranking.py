"""How well scores rank the images of one class above the others, in resamples of the images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from resnet_tl.metrics.per_class import quotient

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Ranking(NamedTuple):
    """What is counted in each of R resamples when the threshold is lowered, `[S, R]`: the S steps are the distinct
    scores of positive images, the highest first; images of equal score are one step.

    gained: positive images of the step. through: images of the step and of all higher scores. higher: images of higher
    scores alone. images: `[R]`, all.
    """

    gained: Integers
    through: Integers
    higher: Integers
    images: Integers

    @classmethod
    def of(cls, scores: NDArray[np.float32], positive: NDArray[np.bool_], drawn: NDArray[np.int32]) -> Ranking:
        """Counts, from scores and marks `[N]`, and how often each image was drawn, `[N, R]`."""
        order = np.argsort(-scores, kind="stable")
        level = np.cumsum(np.diff(scores[order], prepend=np.inf) != 0)
        places = np.flatnonzero(positive[order])
        levels, first = np.unique(level[places], return_index=True)
        # Between two steps only sums matter: a product with a sparse matrix adds them, where sorting would copy all.
        ends = np.stack([np.searchsorted(level, levels, side) for side in ("left", "right")], 1).ravel()
        between = _sums(order, ends, drawn).cumsum(0)
        gained = _sums(order[places], first[1:], drawn)[: len(levels)]
        return cls(gained, between[1:-1:2], between[:-1:2], between[-1])

    def average_precision(self) -> Floats:
        """Returns the step-wise area `[R]`, without interpolation; NaN without positive images."""
        found = self.gained.cumsum(0)
        return quotient((self.gained * (found / np.maximum(self.through, 1))).sum(0), self.gained.sum(0))

    def auroc(self) -> Floats:
        """Returns the area under the ROC curve `[R]`: the share of pairs of a positive and a negative image that are
        ranked in that order, with half of those of equal score; NaN without pairs."""
        alarms = self.higher - self.gained.cumsum(0) + self.gained
        equal = self.through - self.higher - self.gained
        positives = self.gained.sum(0)
        negatives = self.images - positives
        return quotient((self.gained * (negatives - alarms - equal / 2)).sum(0), positives * negatives)

    def sensitivity(self, specificity: float) -> Floats:
        """Returns the highest sensitivity `[R]` of a threshold with at least this specificity, 0...1; NaN without
        positive or without negative images."""
        found = self.gained.cumsum(0)
        positives = self.gained.sum(0)
        negatives = self.images - positives
        allowed = (1 - specificity) * negatives * (1 + 1e-9)
        reached = np.where(self.through - found <= allowed, found, 0).max(0, initial=0)
        return np.where(negatives > 0, quotient(reached, positives), np.nan)


def _sums(order: Integers, ends: Integers, drawn: NDArray[np.int32]) -> Integers:
    """Returns the sums `[E + 1, R]` of the rows of `drawn` in the parts of `order` that E ascending ends separate."""
    parts = csr_array((np.ones(len(order), np.int64), order, [0, *ends, len(order)]), (len(ends) + 1, len(drawn)))
    return parts @ drawn
