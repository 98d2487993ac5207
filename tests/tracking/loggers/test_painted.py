"""Charts as images."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_tl.tracking.loggers.drawings import Calibration, Confusion, LabelledBox, Picture, Pictures, Table
from resnet_tl.tracking.loggers.painted import COLUMNS, SIDE, as_csv, as_markdown, painted


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_confusion_matrix_is_dark_where_predictions_are(classes: int) -> None:
    counts = np.zeros((classes, classes), np.int64)
    counts[0, 1] = 12345
    pixels = painted(Confusion([f"class {k}" for k in range(classes)], counts))
    side = max(10, min(48, 960 // classes))
    cells = pixels[-1 - side * classes : -1, -1 - side * classes : -1]
    corners = cells[3::side, 3::side, 0]
    assert corners.shape == (classes, classes)
    assert corners[0, 1] == 55
    assert (np.delete(corners.ravel(), 1) == 255).all()


def test_calibration_and_pictures_are_images() -> None:
    assert painted(Calibration([0.5, 0.9], [0.25, 1.0])).std() > 0
    box = LabelledBox((0.25, 0.25, 0.75, 0.75), 0, 0.5)
    pictures = [Picture(np.full((30, 20, 3), 200, np.uint8), "worst: ant 0.9", [box], [box])] * (COLUMNS + 1)
    sheet = painted(Pictures(pictures, ["ant"]))
    assert sheet.shape[1] == COLUMNS * (SIDE + 4)
    assert (sheet == (16, 185, 129)).all(2).any(), "the colour of predicted boxes"


def test_wrong_pixels_are_red_and_ignored_ones_dark() -> None:
    true, predicted = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    true[:, :80], predicted[:, 160:] = 255, 1
    grey = np.full((SIDE, SIDE, 3), 100, np.uint8)
    sheet = painted(Pictures([Picture(grey, "", true_mask=true, predicted_mask=predicted)], ["sky", "road"]))
    assert sheet[120, [40, 120, 200]].tolist() == [[58] * 3, [175] * 3, [202, 112, 112]]


def test_tables_are_text() -> None:
    table = Table(["class", "f1"], [["a|b", 0.123456], ["c,d", None]])
    assert as_csv(table) == 'class,f1\na|b,0.123456\n"c,d",\n'
    assert as_markdown(table) == "| class | f1 |\n| --- | --- |\n| a\\|b | 0.1235 |\n| c,d |  |"
