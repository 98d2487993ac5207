"""Objects below the score of their class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.writers.csv_tables import box_table
from resnet_tl.prediction.writers.drawings import drawing
from resnet_tl.prediction.writers.limited import limited
from resnet_tl.prediction.writers.output import write

Detected = Callable[..., BoxPrediction]


def test_objects_below_the_score_are_not_drawn(detected: Detected) -> None:
    every = detected(0, "a.jpg", masks=True)
    one, both, none = (np.asarray(drawing(every.at_least(np.full(2, score, np.float32)))) for score in (0.4, 0.3, 0.95))
    assert (np.asarray(drawing(detected(0, "a.jpg", 1, masks=True))) == one).all()
    assert (one != both).any()
    assert not none.any()


def test_each_class_has_its_own_score(tmp_path: Path, detected: Detected) -> None:
    """The dust (class 1) has 0.9, the cell (class 0) has 0.3."""
    for name, scores, labels in (("cell", [0.2, 0.95], ["cell"]), ("dust", [0.4, 0.9], ["dust"])):
        write([detected(0, "a.jpg")], [limited(box_table(tmp_path / name), np.array(scores, np.float32))])
        assert [line.split(",")[1] for line in (tmp_path / name).read_text().splitlines()[1:]] == labels
