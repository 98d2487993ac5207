"""The recipe by which a trained network is evaluated; of folds, see `test_evaluate.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_tl.errors import DataError, RecipeError
from resnet_tl.publish.publish import publish
from resnet_tl.run.evaluate import evaluate_run

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"
SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"


def test_images_that_are_not_where_training_had_them_need_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"does not exist .*best\.ckpt had its images: .* --data\.root PATH$"):
        evaluate_run("val", SAVED / "half_run", [], [])
    with pytest.raises(DataError, match=r"^elsewhere does not exist[^;]*$"):
        evaluate_run("val", SAVED / "half_run", [], [("data.root", "elsewhere")])


@pytest.mark.parametrize(
    ("name", "samples"),
    [("half_run", "classification"), ("segmentation.ckpt", "segmentation"), ("detection.ckpt", "detection")],
)
def test_a_published_folder_scores_as_the_checkpoint_that_it_is_of(tmp_path: Path, name: str, samples: str) -> None:
    publish(SAVED / name, tmp_path / "model")
    values = [("data.root", SAMPLES / samples), ("data.num_workers", 0)]
    ours, theirs = (evaluate_run("val", source, [], values) for source in (SAVED / name, tmp_path / "model"))
    assert theirs["metrics"] == pytest.approx(ours["metrics"], abs=1e-4)
    assert "val/loss" in theirs["metrics"]
    with pytest.raises(RecipeError, match=r"data\.root is missing"):
        evaluate_run("val", tmp_path / "model", [], [])
