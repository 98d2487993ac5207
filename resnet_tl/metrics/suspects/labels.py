"""Labels of images that are probably wrong: confident learning (arXiv:1911.00068), by cleanlab."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnet_tl.metrics.suspects.suspect import NOTHING, Suspect
from resnet_tl.structures.evaluation import ClassEvaluation, Flags, Floats, Integers


def label_suspects(evaluation: ClassEvaluation) -> list[Suspect]:
    """Returns the labels that are probably wrong; with several labels, those given wrongly and those missing."""
    names, keys, targets = evaluation.classes, evaluation.keys, evaluation.targets
    if evaluation.multi_label:
        return [each for k in range(len(names)) for each in _of_one_label(evaluation, k)]
    labels, probabilities = targets.astype(np.int64), evaluation.probabilities
    guesses = probabilities.argmax(1)
    return [
        Suspect("label", str(keys[i]), names[labels[i]], names[guesses[i]], 1 - float(probabilities[i, labels[i]]))
        for i in np.flatnonzero(probably_wrong(labels, probabilities))
    ]


def _of_one_label(evaluation: ClassEvaluation, k: int) -> list[Suspect]:
    name, given, probability = evaluation.classes[k], evaluation.targets[:, k] > 0, evaluation.probabilities[:, k]
    wrong = probably_wrong(given.astype(np.int64), np.stack([1 - probability, probability], 1))
    return [
        Suspect("wrong label", str(evaluation.keys[i]), name, NOTHING, 1 - float(probability[i]))
        if given[i]
        else Suspect("missing label", str(evaluation.keys[i]), NOTHING, name, float(probability[i]))
        for i in np.flatnonzero(wrong)
    ]


def probably_wrong(labels: Integers, probabilities: Floats | NDArray[np.float64]) -> Flags:
    """Returns which of N labels are probably wrong, `[N]`: as many as cleanlab estimates there are, those with the
    lowest probabilities; none that the network agrees with.

    Args:
        labels: `[N]`.
        probabilities: `[N, K]`, whose rows sum to 1, by networks that have not learned from these labels.
    """
    if len(np.unique(labels)) < 2:  # nothing to take one for the other
        return np.zeros(len(labels), np.bool_)
    from cleanlab.filter import find_label_issues

    wrong: Flags = find_label_issues(labels, probabilities, filter_by="low_self_confidence", n_jobs=1)
    return wrong & (probabilities.argmax(1) != labels)
