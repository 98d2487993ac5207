"""Classes, objects and numbers as CSV tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_tl.csv_text import text_cell
from resnet_tl.prediction.classification import NONE_OF_THESE, ClassPrediction
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.regression import ValuePrediction
from resnet_tl.prediction.writers.output import Add, image_name, new_file


@contextmanager
def class_table(path: Path, *, safe: bool = True) -> Iterator[Add[ClassPrediction]]:
    """One line an image: `path,label,score,label_2,score_2,...`; multi-label `path,label,score` with `a|b`. With
    `unsure` also `possible,outlier_score`: `a|b`, or `none of these`. Where a name has a `|`, `a|b` is a JSON list.

    Args:
        safe: see `resnet_tl.csv_text.text_cell`.
    """
    with new_file(path) as file:
        table = csv.writer(file, lineterminator="\n")
        has_header = False

        def add(prediction: ClassPrediction) -> None:
            nonlocal has_header
            cells, doubts = _cells(prediction, safe), _doubts(prediction, safe)
            if not has_header:
                numbered = ((f"label_{n}", f"score_{n}") for n in range(2, len(cells) // 2 + 1))
                table.writerow(["path", "label", "score", *(name for pair in numbered for name in pair), *doubts])
                has_header = True
            table.writerow([text_cell(image_name(prediction), safe), *cells, *doubts.values()])

        yield add


@contextmanager
def box_table(path: Path, *, safe: bool = True) -> Iterator[Add[BoxPrediction]]:
    """One line an object: `path,label,score,x1,y1,x2,y2`.

    Args:
        safe: see `resnet_tl.csv_text.text_cell`.
    """
    with new_file(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", "label", "score", "x1", "y1", "x2", "y2"])

        def add(prediction: BoxPrediction) -> None:
            for name, score, box in zip(prediction.classes, prediction.scores, prediction.boxes, strict=True):
                texts = (text_cell(text, safe) for text in (image_name(prediction), name))
                table.writerow([*texts, f"{score:.6f}", *(f"{edge:.2f}" for edge in box)])

        yield add


@contextmanager
def value_table(path: Path, *, safe: bool = True) -> Iterator[Add[ValuePrediction]]:
    """One line an image: `path,age,age_low,age_high,...`; without intervals `path,age,...`.

    Args:
        safe: see `resnet_tl.csv_text.text_cell`.
    """
    with new_file(path) as file:
        table = csv.writer(file, lineterminator="\n")
        has_header = False

        def add(prediction: ValuePrediction) -> None:
            nonlocal has_header
            cells = _numbers(prediction)
            if not has_header:
                table.writerow([text_cell(name, safe) for name in ("path", *cells)])
                has_header = True
            numbers = (f"{value:.7g}" for value in cells.values())
            table.writerow([text_cell(image_name(prediction), safe), *numbers])

        yield add


def _numbers(prediction: ValuePrediction) -> dict[str, float]:
    cells = {}
    for name, value in prediction.values.items():
        cells[name] = value
        if prediction.intervals is not None:
            cells[f"{name}_low"], cells[f"{name}_high"] = prediction.intervals[name]
    return cells


def _cells(prediction: ClassPrediction, safe: bool) -> list[str]:
    scores = [f"{score:.6f}" for score in prediction.scores]
    if prediction.multi_label:
        return [text_cell(_joined(prediction.classes), safe), "|".join(scores)]
    names = [text_cell(name, safe) for name in prediction.classes]
    return [cell for pair in zip(names, scores, strict=True) for cell in pair]


def _doubts(prediction: ClassPrediction, safe: bool) -> dict[str, str]:
    if prediction.possible is None:
        return {}
    possible = NONE_OF_THESE if prediction.none_of_these else text_cell(_joined(prediction.possible), safe)
    return {"possible": possible, "outlier_score": f"{prediction.outlier_score:.4f}"}


def _joined(names: list[str]) -> str:
    """Returns `a|b`, or a JSON list where a name has a `|`."""
    return json.dumps(names, ensure_ascii=False) if any("|" in name for name in names) else "|".join(names)
