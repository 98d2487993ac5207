"""The predictions of several networks, each for images of its own, as one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np

from resnet_tl.errors import DataError
from resnet_tl.structures.evaluation import BoxEvaluation, ClassEvaluation, Evaluation, PixelEvaluation, ValueEvaluation

EvaluationT = TypeVar("EvaluationT", bound=Evaluation)

SHARED = ("classes", "root", "split", "step", "absent", "coverage")
"""What holds for a whole record, in place of its images, objects or detections."""


def pool(evaluations: Sequence[EvaluationT]) -> EvaluationT:
    """Joins records of one task and the same classes: the images of the first, then those of the second, ...

    `step` is the largest, `edges` of pixels are sums, thresholds of several labels and `sd` of numbers are means.

    Raises:
        DataError: an image is in two of them.
    """
    first = evaluations[0]
    keys, counts = np.unique(np.concatenate([each.keys for each in evaluations]), return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"{first.root}: {keys[counts > 1][0]} was predicted more than once: images were added or removed while the "
            "folds were trained"
        )
    joined = {
        field.name: np.concatenate([getattr(each, field.name) for each in evaluations])
        for field in fields(first)
        if field.name not in SHARED and getattr(first, field.name) is not None
    }
    return replace(first, step=max(each.step for each in evaluations), **joined | _special(evaluations))


def _special(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The arrays that are not only joined: numbers of images are moved, what is of classes is summed or averaged."""
    starts = [0, *accumulate(len(each) for each in evaluations)]
    if isinstance(evaluations[0], ClassEvaluation):
        return {"thresholds": np.mean([vars(each)["thresholds"] for each in evaluations], 0, dtype=np.float32)}
    if isinstance(evaluations[0], PixelEvaluation):
        cells = [vars(each)["cells"] + [start, 0, 0, 0] for each, start in zip(evaluations, starts, strict=False)]
        return {"cells": np.concatenate(cells), "edges": np.sum([vars(each)["edges"] for each in evaluations], 0)}
    if isinstance(evaluations[0], ValueEvaluation):
        return {"sd": np.mean([vars(each)["sd"] for each in evaluations], 0, dtype=np.float32)}
    assert isinstance(evaluations[0], BoxEvaluation)
    return {
        name: np.concatenate([vars(each)[name] + start for each, start in zip(evaluations, starts, strict=False)])
        for name in ("image", "target_image")
    }
