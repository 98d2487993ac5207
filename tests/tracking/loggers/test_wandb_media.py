"""Drawings become W&B's own charts, tables and images."""

from __future__ import annotations

import numpy as np
import wandb
from PIL import Image

from resnet_tl.tracking.loggers.drawings import Calibration, Confusion, LabelledBox, Picture, Pictures, Table
from resnet_tl.tracking.loggers.wandb_media import native


def test_a_confusion_matrix_is_the_chart_that_wandb_draws_of_single_predictions() -> None:
    chart = native(Confusion(["ant", "bee"], np.array([[2, 1], [0, 3]])))
    true, predicted = [0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]
    own = wandb.plot.confusion_matrix(y_true=true, preds=predicted, class_names=["ant", "bee"])
    assert (chart.table.columns, chart.table.data) == (own.table.columns, own.table.data)
    assert chart.spec.spec_name == own.spec.spec_name
    assert chart.spec.fields == own.spec.fields


def test_tables_and_curves() -> None:
    table = native(Table(["class", "recall"], [["ant", 0.5], ["bee", None]]))
    assert (table.columns, table.data) == (["class", "recall"], [["ant", 0.5], ["bee", None]])
    curve = native(Calibration([0.6, 0.9], [0.5, 1.0]))
    rows = [(row[1], row[0], row[2]) for row in curve.table.data]
    assert {row for row in rows if row[0] == "accuracy"} == {("accuracy", 0.6, 0.5), ("accuracy", 0.9, 1.0)}
    assert {row[1:] for row in rows if row[0] != "accuracy"} == {(0.6, 0.6), (0.9, 0.9)}


def test_images_have_one_size_and_their_boxes_stay_in_place() -> None:
    box = LabelledBox((0.5, 0.0, 1.0, 1.0), 1, 0.75)
    pictures = [
        Picture(np.full((10, 20, 3), 200, np.uint8), "small", [], [box]),
        Picture(np.zeros((20, 40, 3), np.uint8), "large"),
    ]
    small, large = native(Pictures(pictures, ["ant", "bee"]))
    assert (small._width, small._height) == (large._width, large._height) == (40, 20)
    (drawn,) = small._boxes["prediction"]._val
    assert drawn["position"] == {"minX": 0.25, "minY": 0.0, "maxX": 0.5, "maxY": 0.5}
    assert drawn["box_caption"] == "bee 0.75"
    assert large._boxes is None or not large._boxes


def test_masks_of_padded_images_are_ignored_there() -> None:
    mask = np.array([[0, 1, 255]], np.uint8)
    pictures = [
        Picture(np.zeros((1, 3, 3), np.uint8), "small", true_mask=mask, predicted_mask=mask),
        Picture(np.zeros((2, 4, 3), np.uint8), "large"),
    ]
    small, large = native(Pictures(pictures, ["sky", "road"]))
    assert large._masks is None or not large._masks
    assert set(small._masks) == {"ground_truth", "prediction"}
    drawn = small._masks["ground_truth"]
    pixels = np.asarray(Image.open(drawn._path))
    assert pixels.tolist() == [[0, 1, 255, 255], [255] * 4]
    assert drawn._val["class_labels"] == {0: "sky", 1: "road", 255: "ignored"}
