"""`resnet-tl export`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime")
SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"


def test_a_file_is_written_with_its_proof_and_predicts(
    resnet_tl: Callable[..., Any], images: Path, tmp_path: Path
) -> None:
    done = resnet_tl(f"export {SAVED / 'half_run'} --out {tmp_path / 'x.onnx'} --images {images / 'val'}")
    assert done.code == 0
    assert "largest differences on 8 images: probability" in done.out
    assert "ms from the file" in done.out
    predicted = resnet_tl(f"predict {tmp_path / 'x.onnx'} {images / 'val'} --out {tmp_path / 'x.csv'}")
    assert predicted.code == 0
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 9
    samples = Path(__file__).resolve().parents[2] / "data" / "samples" / "classification"
    validated = resnet_tl(f"validate {tmp_path / 'x.onnx'} --data.root {samples}")
    assert validated.code == 0, validated.err
    assert "val/acc" in validated.out
    assert "loss" not in validated.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("export", "export needs a run or checkpoint"),
        (f"export {SAVED / 'half_run'}", "export needs a form, --to onnx"),
        (f"export {SAVED / 'half_run'} --out x.tflite", "--out x.tflite: expected a name that ends in .onnx"),
    ],
)
def test_words_that_do_not_fit_are_refused(resnet_tl: Callable[..., Any], words: str, sentence: str) -> None:
    done = resnet_tl(words)
    assert done.code == 2
    assert sentence in done.err
