"""A classifier's scores by the names that people know, in resamples of the images.

Letters in shapes: N images, K classes, R resamples. `drawn` `[N, R]` is how often each image was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from resnet_tl.metrics.bootstrap import Counts, Floats, completed
from resnet_tl.metrics.names import SENSITIVITY
from resnet_tl.metrics.per_class import column_means, quotient, without
from resnet_tl.metrics.ranking import Ranking
from resnet_tl.structures.evaluation import ClassEvaluation

Integers = NDArray[np.int64]


class ClassCounts(NamedTuple):
    """Images of each class, `[K, R]`: predicted correctly as it, predicted as it, and those that have it."""

    correct: Integers
    predicted: Integers
    targets: Integers

    def by_class(self) -> dict[str, Floats]:
        """Returns scores `[K, R]`; NaN where they would be 0/0."""
        return {
            "precision": quotient(self.correct, self.predicted),
            "recall": quotient(self.correct, self.targets),
            "f1": quotient(2 * self.correct, self.predicted + self.targets),
        }

    def means(self, absent: Sequence[int], whole: ClassCounts) -> dict[str, Floats]:
        """Returns means over the classes, `[R]`; `whole` counts in the whole set, see `completed`.

        ..._macro, f1: recall over the classes that images show; precision and F1 also over those that are predicted
            without an image, where they are 0, but for those in `absent`.
        ..._weighted: weighted by the images of the classes.
        """
        scores, of_whole = self._averaged(), whole._averaged()
        shares = self.targets / self.targets.sum(0)
        complete = {name: completed(values, of_whole[name]) for name, values in scores.items()}
        macro = {name: column_means(without(values, absent)) for name, values in complete.items()}
        weighted = {f"{name}_weighted": np.nansum(values * shares, 0) for name, values in scores.items()}
        return {"precision_macro": macro["precision"], "recall_macro": macro["recall"], "f1": macro["f1"], **weighted}

    def _averaged(self) -> dict[str, Floats]:
        scores, occur = self.by_class(), self.predicted + self.targets > 0
        return scores | {"precision": np.where(occur, np.nan_to_num(scores["precision"]), np.nan)}

    def micro(self) -> dict[str, Floats]:
        """Returns scores `[R]` of all labels of all images together."""
        correct, predicted, targets = (each.sum(0) for each in self)
        return {
            "precision_micro": quotient(correct, predicted),
            "recall_micro": quotient(correct, targets),
            "f1_micro": quotient(2 * correct, predicted + targets),
        }

    def kappa(self) -> Floats:
        """Returns Cohen's kappa `[R]`, the agreement beyond that of chance; NaN if all images are of one class and
        predicted as it."""
        images = self.targets.sum(0)
        by_chance = (self.predicted * self.targets).sum(0) / images
        return quotient(self.correct.sum(0) - by_chance, images - by_chance)


class Marks:
    """Which images were predicted as which class, and have it."""

    def __init__(self, evaluation: ClassEvaluation) -> None:
        if evaluation.multi_label:
            predicted, targets = evaluation.probabilities >= evaluation.thresholds, evaluation.targets > 0
        else:
            classes = np.arange(len(evaluation.classes))
            predicted = evaluation.probabilities.argmax(1)[:, None] == classes
            targets = evaluation.targets[:, None] == classes
        self.marks = [csr_array(each.T, dtype=np.int64) for each in (predicted & targets, predicted, targets)]

    def counts(self, drawn: Counts) -> dict[str, Integers]:
        """Returns the fields of `ClassCounts`."""
        return dict(zip(ClassCounts._fields, (each @ drawn for each in self.marks), strict=True))


def ranks(evaluation: ClassEvaluation, drawn: Counts, specificity: float | None = None) -> dict[str, Floats]:
    """Computes how the probabilities rank the images, each class against the rest, `[K, R]`.

    ap: average precision (step-wise area, without interpolation); NaN without images of the class.
    auroc: area under the ROC curve; NaN without images of the class, or without others.
    sensitivity_at_specificity_S: the highest sensitivity with a specificity of S or more; NaN as auroc.
    """
    found: dict[str, list[Floats]] = {"ap": [], "auroc": []}
    for k, scores in enumerate(evaluation.probabilities.T):
        positive = evaluation.targets[:, k] > 0 if evaluation.multi_label else evaluation.targets == k
        ranking = Ranking.of(scores, positive, drawn)
        found["ap"].append(ranking.average_precision())
        found["auroc"].append(ranking.auroc())
        if specificity is not None:
            name = f"{SENSITIVITY}{specificity:g}"
            found.setdefault(name, []).append(ranking.sensitivity(specificity))
    return {name: np.stack(values) for name, values in found.items()}
