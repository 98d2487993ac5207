"""Objects of some score alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.writers.output import Add, Output


@contextmanager
def limited(output: Output[BoxPrediction], scores: NDArray[np.float32]) -> Iterator[Add[BoxPrediction]]:
    """Writes to `output` the objects that have at least the score of their class, `[K]`."""
    with output as add:
        yield lambda prediction: add(prediction.at_least(scores))
