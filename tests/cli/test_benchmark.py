"""`resnet-tl benchmark`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"


def test_one_table_with_a_row_for_each_form_and_batch_size(
    resnet_tl: Callable[..., Any], here: Path, images: Path
) -> None:
    options = "--seconds 0 --no-compile --batch-sizes 1 2 --json times.json"
    done = resnet_tl(f"benchmark {{}} --images {{}} {options}", SAVED / "half_run", images / "val")
    assert done.code == 0, done.err
    heading, what, _, columns, *rows, note = done.out.splitlines()
    assert "threads 1" in heading
    assert what == "the network alone, from bytes in memory to predictions"
    assert columns.split()[:6] == ["model", "as", "batch", "pixels", "images/s", "ratio"]
    assert [row.split()[1:4] for row in rows] == [
        [form, batch, "16x16"] for batch in "12" for form in ("checkpoint", "folded")
    ]
    assert [row.split()[5] for row in rows][::2] == ["1.00", "1.00"]
    assert note.startswith("blank where there were fewer: p95 needs 20 runs")
    content = json.loads((here / "times.json").read_text())
    assert [len(row["seconds"]) for row in content["rows"]] == [3, 3, 3, 3]
    assert content["machine"]["threads"] == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("benchmark", "benchmark needs a run, a checkpoint or an exported file: resnet-tl benchmark RUN FILE.onnx"),
        (f"benchmark {SAVED / 'half_run'} --size big", "--size big: expected height and width in pixels, as 480x640"),
        (f"benchmark {SAVED / 'half_run'} --batch-sizes 0", "batch_sizes: 0; expected 1 or more"),
        (f"benchmark {SAVED / 'half_run'} --threads 0", "--threads is 0; expected 1 or more"),
        (f"benchmark {SAVED / 'half_run'} --seconds -1", "--seconds is -1; expected 0 or more"),
    ],
)
def test_words_that_do_not_fit_are_refused(resnet_tl: Callable[..., Any], words: str, sentence: str) -> None:
    assert resnet_tl(words) == (2, "", f"error: {sentence}\n")
