"""The recipe by which a trained network is evaluated; of folds, see `test_evaluate.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_tl.errors import DataError
from resnet_tl.run.evaluate import evaluate_run

SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"


def test_images_that_are_not_where_training_had_them_need_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"does not exist .*best\.ckpt had its images: .* --data\.root PATH$"):
        evaluate_run("val", SAVED / "half_run", [], [])
    with pytest.raises(DataError, match=r"^elsewhere does not exist[^;]*$"):
        evaluate_run("val", SAVED / "half_run", [], [("data.root", "elsewhere")])
