"""The folder of an explanation."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.errors import RunError
from resnet_tl.explain.explain import Explanation
from resnet_tl.explain.folder import explanation_folder, share_inside
from resnet_tl.prediction.writers.output import write


def explanation(index: int, path: str | None, box: tuple[float, float, float, float] | None = None) -> Explanation:
    values = np.zeros((30, 40), np.float32)
    values[10:20, 10:20], values[0, 0] = 1, -5
    image = np.zeros((30, 40, 3), np.uint8)
    return Explanation(index, path, image, "=bees", 0.75, box, values, "bees 0.75 · occlusion")


def test_each_explanation_has_a_picture_a_line_and_a_map(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = [explanation(0, "a/x.jpg", (10, 10, 20, 15)), explanation(0, "a/x.jpg"), explanation(1, "b/X.png")]
    assert write(given, [explanation_folder(out, numbered=True, maps=True)]) == 3
    rows = list(csv.DictReader((out / "explanations.csv").open(encoding="utf-8")))
    assert [row["picture"] for row in rows] == ["x-1.jpg", "x-2.jpg", "X_1-1.jpg"]
    assert {path.name for path in out.iterdir()} == {
        "explanations.csv",
        *(f"{name}.{end}" for name in ("x-1", "x-2", "X_1-1") for end in ("jpg", "npz")),
    }
    assert rows[0]["label"] == "'=bees"
    assert (rows[0]["x1"], rows[0]["inside"], rows[1]["x1"], rows[1]["inside"]) == ("10.00", "0.5000", "", "")
    assert float(rows[0]["largest"]) == 1
    with np.load(out / "x-1.npz") as stored:
        np.testing.assert_array_equal(stored["map"], given[0].map)
    assert Image.open(out / "x-1.jpg").width == 240


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(RunError, match="exists and is not overwritten"):
        write([explanation(0, "x.jpg")], [explanation_folder(tmp_path / "out", numbered=False)])

    def broken():  # type: ignore[no-untyped-def]
        yield explanation(0, "x.jpg")
        raise RunError("stopped")

    with pytest.raises(RunError, match="stopped"):
        write(broken(), [explanation_folder(tmp_path / "other", numbered=False)])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_share_inside_a_box() -> None:
    assert share_inside(explanation(0, None, (10, 10, 20, 20))) == 1
    assert share_inside(explanation(0, None, (-5, -5, 15, 30))) == 0.5
    assert share_inside(explanation(0, None, (25, 25, 30, 30))) == 0
