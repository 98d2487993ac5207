"""What counts as a difference between the objects of a checkpoint and those of its export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet_tl.errors import RunError
from resnet_tl.export.proof import _of_objects, compare
from resnet_tl.models.pasting import Cutout
from resnet_tl.prediction.detection import BoxPrediction


class Finds:
    """A detector that predicts the same objects in every image."""

    task = "detection"

    def __init__(self, found: BoxPrediction) -> None:
        self.found = found

    def predict(self, images: list[str], **options: object) -> list[BoxPrediction]:
        return [self.found for _ in images]


def test_an_export_without_objects_to_compare_is_not_proved() -> None:
    unsure = replace(prediction(), scores=np.array([0.29, 0.2, 0.1], np.float32))
    with pytest.raises(
        RunError,
        match=r"^nothing proves the export: in these 2 images .* at least 0\.3; name others .*, or train it longer",
    ):
        compare(Finds(unsure), Finds(unsure), ["a.png", "b.png"])  # type: ignore[arg-type]


def prediction() -> BoxPrediction:
    """Two objects with scores of 0.9 and 0.8, and one below the scores that are compared."""
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 40], [5, 5, 9, 9]], np.float32)
    masks = [Cutout(np.ones((int(y2 - y1), int(x2 - x1)), bool), int(y1), int(x1)) for x1, y1, x2, y2 in boxes]
    scores, labels = np.array([0.9, 0.8, 0.2], np.float32), np.array([0, 1, 1])
    return BoxPrediction(0, Path("a.png"), np.zeros((50, 50, 3), np.uint8), boxes, scores, labels, list("abb"), masks)


def test_equal_objects_in_another_order_do_not_differ() -> None:
    one, order = prediction(), [1, 0]
    other = replace(
        one,
        boxes=one.boxes[order],
        scores=one.scores[order],
        labels=one.labels[order],
        masks=[one.masks[k] for k in order] if one.masks else None,
    )
    assert _of_objects(one, other) == {"objects": 0, "1 - IoU": 0, "score": 0, "mask": 0}


def test_objects_that_one_side_lacks_or_calls_otherwise_count() -> None:
    one = prediction()
    nothing = replace(one, boxes=one.boxes[:0], scores=one.scores[:0], labels=one.labels[:0], masks=[])
    assert _of_objects(one, nothing)["objects"] == 2
    assert _of_objects(nothing, one)["objects"] == 2
    assert _of_objects(one, replace(one, labels=np.array([1, 1, 1])))["objects"] == 2


def test_moved_boxes_other_scores_and_other_pixels_count() -> None:
    one = prediction()
    assert one.masks is not None
    pixels = one.masks[1].pixels.copy()
    pixels[:2] = False  # 20 of the 300 pixels of both objects
    moved = replace(
        one,
        boxes=one.boxes + np.float32(1),
        scores=one.scores - np.float32(0.1),
        masks=[one.masks[0], Cutout(pixels, 20, 20), one.masks[2]],
    )
    found = _of_objects(one, moved)
    assert found["objects"] == 0
    np.testing.assert_allclose(found["1 - IoU"], 1 - 81 / 119)
    np.testing.assert_allclose(found["score"], 0.1, rtol=1e-5)
    np.testing.assert_allclose(found["mask"], 20 / 300)
