"""What became of detections and objects: hits from a score on, confusions, errors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resnet_tl.metrics.box_confusion import Pairs, pairs
from resnet_tl.metrics.box_errors import KINDS, Errors, find_errors
from resnet_tl.metrics.box_matches import Matches, class_counts, match
from resnet_tl.metrics.box_scores import best_scores, from_scores
from resnet_tl.metrics.per_class import Ratios, Row, rows
from resnet_tl.structures.evaluation import BoxEvaluation

NOTHING = "nothing"
"""What false alarms are really, and what missed objects were taken for."""


@dataclass(frozen=True)
class BoxOutcomes:
    """How detections and objects match at an IoU of 0.5.

    scores: `[K]`, from which on the detections of each class count, except in `errors`.
    matches: at that IoU.
    """

    evaluation: BoxEvaluation
    scores: NDArray[np.float64]
    matches: Matches

    @classmethod
    def of(cls, evaluation: BoxEvaluation, scores: ArrayLike | None = None) -> BoxOutcomes:
        """scores: `[K]`; None: where the F1 of each class is best on these images."""
        matches = match(evaluation, [0.5])
        chosen = best_scores(evaluation, matches) if scores is None else np.asarray(scores, np.float64)
        return cls(evaluation, chosen, matches)

    @cached_property
    def found(self) -> Pairs:
        return pairs(self.evaluation, self.matches, self.scores)

    @cached_property
    def errors(self) -> Errors:
        """Of all detections, whatever their score."""
        return find_errors(self.evaluation)

    @property
    def names(self) -> list[str]:
        """The classes and `NOTHING`, in brackets where a class is called so."""
        classes = self.evaluation.classes
        return [*classes, f"({NOTHING})" if NOTHING in classes else NOTHING]

    def class_rows(self) -> list[Row]:
        """Returns the threshold of each class, and its precision, recall and F1 from there on."""
        return rows(self.evaluation.classes, threshold=self.scores, **self.ratios()._asdict())

    def ratios(self) -> Ratios:
        """Returns precision, recall and F1 by class."""
        labels, count = self.evaluation.labels, len(self.evaluation.classes)
        counted = from_scores(self.evaluation, self.scores) & ~self.matches.ignored[0]
        hits = np.bincount(labels[counted & self.matches.hits[0]], minlength=count)
        return Ratios.of(hits, np.bincount(labels[counted], minlength=count), class_counts(self.evaluation))

    def confusion(self) -> NDArray[np.int64]:
        """Returns counts `[K + 1, K + 1]` by true and predicted class, see `names`; the last row is of false alarms,
        the last column of missed objects."""
        counts = np.zeros((len(self.evaluation.classes) + 1,) * 2, np.int64)
        np.add.at(counts, self.found.classes(self.evaluation), 1)
        return counts

    def error_rows(self) -> list[Row]:
        """Returns a row for each kind of error: how many there are, and how much mAP at IoU 0.5 would rise without
        them."""
        counts = {kind: int((self.errors.kinds == number).sum()) for number, kind in enumerate(KINDS)}
        counts["missed"] = int(self.errors.missed.sum())
        return [
            {"error": kind, "number": number, "map50_cost": self.errors.costs[kind]} for kind, number in counts.items()
        ]
