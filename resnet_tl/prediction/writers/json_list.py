"""Classes and numbers as JSON lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resnet_tl.prediction.classification import ClassPrediction
from resnet_tl.prediction.regression import ValuePrediction
from resnet_tl.prediction.writers.output import Add, image_name, new_file


@contextmanager
def class_list(path: Path) -> Iterator[Add[ClassPrediction]]:
    """`[{"path": ..., "labels": [...], "scores": [...]}, ...]`, one entry an image; with `unsure` also `possible`,
    `none_of_these` and `outlier_score`."""
    entries: list[dict[str, Any]] = []

    def add(prediction: ClassPrediction) -> None:
        entry = {"path": image_name(prediction), "labels": prediction.classes, "scores": prediction.scores}
        if prediction.possible is not None:
            entry |= {name: getattr(prediction, name) for name in ("possible", "none_of_these", "outlier_score")}
        entries.append(entry)

    with new_file(path) as file:
        yield add
        json.dump(entries, file, indent=1, ensure_ascii=False)


@contextmanager
def value_list(path: Path) -> Iterator[Add[ValuePrediction]]:
    """`[{"path": ..., "values": {"age": 31.5}, "intervals": {"age": [27.1, 35.9]}}, ...]`, one entry an image;
    `intervals` may be null."""
    entries: list[dict[str, Any]] = []

    def add(prediction: ValuePrediction) -> None:
        content = {"values": prediction.values, "intervals": prediction.intervals}
        entries.append({"path": image_name(prediction), **content})

    with new_file(path) as file:
        yield add
        json.dump(entries, file, indent=1, ensure_ascii=False)
