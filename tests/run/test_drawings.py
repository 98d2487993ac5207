"""What is drawn of a validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from resnet_tl.errors import DataError
from resnet_tl.metrics.evaluated import metric_options, metrics_of
from resnet_tl.run.drawings import Drawings
from resnet_tl.run.predicted_masks import MaskedImage
from resnet_tl.structures.evaluation import ClassEvaluation, Evaluation, PixelEvaluation
from resnet_tl.tracking.loggers.drawings import Calibration, Confusion, Drawing, Pictures, Table
from tests.metrics.box_sets import SIDE, box_set


@pytest.fixture
def evaluation(tmp_path: Path) -> ClassEvaluation:
    """Eleven images, of which ever more of the true class is predicted."""
    keys = [f"{number:02}.png" for number in range(11)]
    for key in keys:
        cv2.imwrite(str(tmp_path / key), np.full((12, 8, 3), 9, np.uint8))
    of_truth = np.linspace(0.05, 0.95, 11).astype(np.float32)
    targets = np.arange(11) % 2
    probabilities = np.where(np.eye(2)[targets] > 0, of_truth[:, None], 1 - of_truth[:, None]).astype(np.float32)
    return ClassEvaluation(
        ["ant", "bee"], str(tmp_path), "val", 1, [], np.array(keys), -np.log(of_truth), probabilities, targets,
        np.zeros(0, np.float32),
    )  # fmt: skip


def _drawn(evaluation: Evaluation, charts: bool = True, images: int = 4) -> dict[str, Drawing]:
    tables = metrics_of(evaluation).tables(**metric_options(evaluation))
    return Drawings(charts, images, table_rows=0).validation(evaluation, tables)


def test_a_classifier_has_all_charts_and_the_worst_and_typical_images(evaluation: ClassEvaluation) -> None:
    drawn = _drawn(evaluation)
    table, confusion, curve, images = (
        drawn[f"val/{name}"] for name in ("classes", "confusion", "calibration", "images")
    )
    assert isinstance(table, Table)
    assert isinstance(confusion, Confusion)
    assert isinstance(curve, Calibration)
    assert isinstance(images, Pictures)
    assert [row[0] for row in table.rows] == ["ant", "bee"]
    assert confusion.counts.tolist() == [[3, 3], [3, 2]]
    assert curve.confidence == sorted(curve.confidence)
    assert [picture.caption for picture in images.pictures] == [
        "worst: bee 0.95, is ant, loss 3, 00.png",
        "worst: ant 0.86, is bee, loss 1.97, 01.png",
        "typical: ant 0.50, is bee, loss 0.693, 05.png",
        "typical: ant 0.59, loss 0.528, 06.png",
    ]


def test_each_part_can_be_switched_off(evaluation: ClassEvaluation) -> None:
    assert set(_drawn(evaluation, images=0)) == {"val/classes", "val/confusion", "val/calibration"}
    assert set(_drawn(evaluation, charts=False)) == {"val/images"}
    assert _drawn(evaluation, charts=False, images=0) == {}


def test_images_that_are_gone_are_not_drawn(evaluation: ClassEvaluation) -> None:
    assert "val/images" not in _drawn(replace(evaluation, root="nowhere"))


def test_several_labels_have_no_confusion(evaluation: ClassEvaluation) -> None:
    targets = np.eye(2)[evaluation.targets] > 0
    targets[5] = True
    several = replace(evaluation, targets=targets, thresholds=np.full(2, 0.5, np.float32))
    drawn = _drawn(several)
    assert set(drawn) == {"val/classes", "val/calibration", "val/images"}
    images = drawn["val/images"]
    assert isinstance(images, Pictures)
    assert images.pictures[0].caption == "worst: bee 0.95, is ant, loss 3, 00.png"


def test_objects_are_counted_with_nothing_and_drawn_with_their_boxes(tmp_path: Path) -> None:
    found = replace(box_set(images=6), root=str(tmp_path), losses=np.arange(6, dtype=np.float32))
    for key in found.keys:
        cv2.imwrite(str(tmp_path / key), np.zeros((SIDE, SIDE, 3), np.uint8))
    drawn = _drawn(found, images=2)
    confusion, images = drawn["val/confusion"], drawn["val/images"]
    assert isinstance(confusion, Confusion)
    assert isinstance(images, Pictures)
    assert confusion.names == [*found.classes, "nothing"]
    assert confusion.counts[:-1].sum() == (~found.target_crowd).sum()
    worst = images.pictures[0]
    assert worst.caption == "worst: loss 5, 005.jpg"
    assert len(worst.true) == (found.target_image == 5).sum()
    assert all(corner >= 0 for box in worst.true for corner in box.corners)
    np.testing.assert_allclose(np.array(worst.true[0].corners) * SIDE, found.target_boxes[found.target_image == 5][0])


def test_masks_are_drawn_with_their_errors_counted() -> None:
    cells = np.array([[0, 0, 0, 6], [0, 0, 1, 2], [1, 1, 1, 8]])
    keys, losses, edges = np.array(["a", "b"]), np.array([2, 1], np.float32), np.zeros((2, 4), np.int64)
    evaluation = PixelEvaluation(["sky", "road"], "photos", "val", 1, [], keys, losses, cells, edges)
    mask = np.array([[0, 1], [1, 255]], np.uint8)

    def masks(key: str) -> MaskedImage:
        if key == "b":
            raise DataError("b: is gone")
        return MaskedImage(np.full((2, 2, 3), 7, np.uint8), mask, 1 - mask)

    tables = metrics_of(evaluation).tables(**metric_options(evaluation))
    images = Drawings(False, 4, 0, masks=masks).validation(evaluation, tables)["val/images"]
    assert isinstance(images, Pictures)
    (picture,) = images.pictures
    assert picture.caption == "worst: 25% wrong, loss 2, a"
    assert picture.true_mask is not None
    assert picture.predicted_mask is not None
    assert picture.true_mask.shape == picture.predicted_mask.shape == picture.pixels.shape[:2]
    np.testing.assert_array_equal(np.unique(picture.true_mask), [0, 1, 255])
    assert Drawings(False, 4, 0).validation(evaluation, tables) == {}, "nothing predicts masks of another task"


def test_the_table_of_predictions_has_the_worst_first(evaluation: ClassEvaluation) -> None:
    table = Drawings(True, 0, table_rows=2).end(evaluation)["val/predictions"]
    assert isinstance(table, Table)
    assert table.columns == ["image", "loss", "true", "predicted", "score"]
    rows = [[row[0], *row[2:4]] for row in table.rows]
    assert rows == [["00.png", "ant", "bee"], ["01.png", "bee", "ant"]]
    assert table.rows[0][4] == pytest.approx(0.95)
    assert Drawings(True, 0, table_rows=0).end(evaluation) == {}


def test_tables_of_objects_and_pixels() -> None:
    found = box_set(images=6)
    table = Drawings(True, 0, 10).end(found)["val/predictions"]
    assert isinstance(table, Table)
    assert table.columns == ["image", "loss", "objects", "detections"]
    assert sum(int(row[2] or 0) for row in table.rows) == len(found.target_labels)
    cells = np.array([[0, 0, 0, 6], [0, 0, 1, 2], [1, 1, 1, 8]])
    keys, losses, edges = np.array(["a", "b"]), np.array([2, 1], np.float32), np.zeros((2, 4), np.int64)
    pixels = PixelEvaluation(["sky", "road"], "photos", "val", 1, [], keys, losses, cells, edges)
    table = Drawings(True, 0, 10).end(pixels)["val/predictions"]
    assert isinstance(table, Table)
    assert table.rows == [["a", 2.0, 0.25], ["b", 1.0, 0.0]]
