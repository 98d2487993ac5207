"""Predictions as CSV tables."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from resnet_tl.prediction.classification import ClassPrediction
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.writers.csv_tables import box_table, class_table
from resnet_tl.prediction.writers.output import write

PREDICTIONS = [
    ClassPrediction(0, "a,b.jpg", ["ant", "bee"], [0.75, 0.25], np.array([0.75, 0.25], np.float32)),
    ClassPrediction(1, None, ["bee", "ant"], [0.5, 0.5], np.array([0.5, 0.5], np.float32)),
]
MULTI_LABEL = [
    ClassPrediction(0, "a.jpg", ["ant", "bee"], [0.75, 0.5], np.array([0.75, 0.5], np.float32), multi_label=True),
    ClassPrediction(1, "b.jpg", [], [], np.array([0.25, 0.25], np.float32), multi_label=True),
]


def test_csv_has_a_line_an_image(tmp_path: Path) -> None:
    assert write(iter(PREDICTIONS), [class_table(tmp_path / "one.csv")]) == 2
    assert list(csv.reader((tmp_path / "one.csv").read_text().splitlines())) == [
        ["path", "label", "score", "label_2", "score_2"],
        ["a,b.jpg", "ant", "0.750000", "bee", "0.250000"],
        ["1", "bee", "0.500000", "ant", "0.500000"],
    ]
    write(MULTI_LABEL, [class_table(tmp_path / "several.csv")])
    assert (tmp_path / "several.csv").read_text() == "path,label,score\na.jpg,ant|bee,0.750000|0.500000\nb.jpg,,\n"


def test_doubts_are_columns_at_the_end(tmp_path: Path) -> None:
    doubted = [replace(PREDICTIONS[0], possible=["ant", "bee"], outlier_score=-0.25)]
    doubted += [replace(PREDICTIONS[1], possible=["bee"], outlier_score=1.5)]
    write(doubted, [class_table(tmp_path / "one.csv")])
    assert list(csv.reader((tmp_path / "one.csv").read_text().splitlines())) == [
        ["path", "label", "score", "label_2", "score_2", "possible", "outlier_score"],
        ["a,b.jpg", "ant", "0.750000", "bee", "0.250000", "ant|bee", "-0.2500"],
        ["1", "bee", "0.500000", "ant", "0.500000", "none of these", "1.5000"],
    ]


def test_possible_classes_whose_names_have_a_bar_are_a_json_list(tmp_path: Path) -> None:
    for names, cell in (
        (["a|b", "c"], '["a|b", "c"]'),
        (["a", "b", "é|c"], '["a", "b", "é|c"]'),
        (["a", "b"], "a|b"),
    ):
        path = tmp_path / f"{len(cell)}.csv"
        write([replace(PREDICTIONS[0], possible=names, outlier_score=0.5)], [class_table(path)])
        (row,) = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
        assert row["possible"] == cell
        several = replace(PREDICTIONS[0], classes=names, scores=[0.5] * len(names), multi_label=True)
        write([several], [class_table(path.with_suffix(".several"))])
        (row,) = csv.DictReader(path.with_suffix(".several").read_text(encoding="utf-8").splitlines())
        assert row["label"] == cell


def test_a_table_of_no_images_is_empty(tmp_path: Path) -> None:
    assert write([], [class_table(tmp_path / "none.csv")]) == 0
    assert (tmp_path / "none.csv").read_text() == ""


def test_a_table_has_a_line_an_object(tmp_path: Path) -> None:
    image, none = np.zeros((40, 31, 3), np.uint8), np.zeros((0, 4), np.float32)
    boxes = np.array([[1, 2, 11, 22], [0, 0, 30.5, 40]], np.float32)
    scores, labels = np.array([0.9, 0.3], np.float32), np.array([1, 0])
    predictions = [
        BoxPrediction(0, "a.jpg", image, boxes, scores, labels, ["dust", "cell"], None),
        BoxPrediction(1, "b.jpg", image, none, scores[:0], labels[:0], [], None),
    ]
    assert write(predictions, [box_table(tmp_path / "a.csv")]) == 2
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert rows[0] == {"path": "a.jpg", "label": "dust", "score": "0.900000", "x1": "1.00", "y1": "2.00"} | {
        "x2": "11.00",
        "y2": "22.00",
    }
    assert len(rows) == 2
