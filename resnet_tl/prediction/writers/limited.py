"""Objects of some score alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from resnet_tl.prediction.detection import BoxPrediction, Limits
from resnet_tl.prediction.writers.output import Add, Output


@contextmanager
def limited(output: Output[BoxPrediction], limits: Limits) -> Iterator[Add[BoxPrediction]]:
    """Writes to `output` the objects that reach the limit of their class."""
    with output as add:
        yield lambda prediction: add(prediction.at_least(limits))
