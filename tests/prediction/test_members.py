"""Folders of folds, which predict together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import resnet_tl
from resnet_tl import checkpoint
from resnet_tl.cli.main import main
from resnet_tl.errors import RecipeError, WeightsError
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.members import read_network
from tests.cli.conftest import RECIPE, images

__all__ = ["images"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    """Two folds of the small classifier, of different temperatures."""
    folder = tmp_path_factory.mktemp("folds")
    (folder / "photos.yaml").write_text(RECIPE)
    values: dict[str, Any] = {"data.root": images, "trainer.max_epochs": 1}
    run = resnet_tl.fit(folder / "photos.yaml", run=folder / "run", folds=2, **values).path
    for number, temperature in ((1, 0.5), (2, 4.0)):
        decisions = checkpoint.Decisions(temperature=[temperature])
        checkpoint.store_decisions(run / f"fold{number}/checkpoints/best.ckpt", decisions)
    return run


@pytest.fixture
def folds(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_probabilities_are_the_mean_of_the_calibrated_folds(folds: Path, images: Path) -> None:
    members = [resnet_tl.load(str(folds / f"fold{number}")) for number in (1, 2)]
    together = resnet_tl.load(str(folds))
    assert isinstance(together, ClassPredictor)
    every = [predictor.predict(images / "val") for predictor in (*members, together)]
    for one, two, both in zip(*every, strict=True):
        mean = (one.probabilities + two.probabilities) / 2  # type: ignore[union-attr]
        np.testing.assert_allclose(both.probabilities, mean, atol=1e-6)  # type: ignore[union-attr]
        assert both.scores[0] == pytest.approx(mean.max(), abs=1e-6)  # type: ignore[union-attr]
    assert np.ptp([each.scores[0] for each in every[0]]) > 0  # type: ignore[union-attr]


def test_what_is_unfamiliar_is_a_question_to_one_network(folds: Path, images: Path) -> None:
    with pytest.raises(RecipeError, match="not to folds together or an exported file; name a checkpoint"):
        resnet_tl.load(str(folds)).predict(images / "val", unsure=True)


def test_the_command_predicts_with_all(folds: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.csv"
    assert main(["predict", str(folds), str(images / "val"), "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 1 + 8


def test_folds_that_are_not_all_trained_are_refused(folds: Path) -> None:
    (folds / "folds.json").write_text(json.dumps({"folds": 2, "finished": False}))
    with pytest.raises(
        WeightsError, match=rf"^{folds}: its 2 folds are not all trained: resnet-tl fit --resume {folds}"
    ):
        resnet_tl.load(str(folds))


@pytest.mark.parametrize("content", ["{", "[]", '{"folds": 10000000000, "finished": true}', '{"folds": "2"}', "\xff"])
def test_a_folds_json_that_is_damaged_is_a_sentence(folds: Path, content: str) -> None:
    (folds / "folds.json").write_text(content, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"^.*folds\.json: not valid: "):
        resnet_tl.load(str(folds))


@pytest.mark.parametrize("name", ["birds.onnx", "birds.pt2", "birds/model.xml"])
def test_an_exported_file_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    for path in {file, file.parent if file.name == "model.xml" else file}:
        with pytest.raises(WeightsError, match=f"^{path}: exported already; expected the run or checkpoint"):
            read_network(path, trust_code=False)
    file.unlink()
    with pytest.raises(WeightsError, match="no run"):
        read_network(path, trust_code=False)


def test_what_takes_one_run_names_one(folds: Path) -> None:
    with pytest.raises(
        WeightsError, match=rf"^{folds}: a folder of folds; expected one of its runs, as {folds}/fold1$"
    ):
        checkpoint.read(folds)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda ours: ours["preprocessing"].update(size=32), "preprocessing"),
        (lambda ours: ours["classes"].reverse(), "classes"),
        (lambda ours: ours["recipe"]["model"]["init_args"]["optimizer"].update(lr=0.5), "networks"),
    ],
)
def test_checkpoints_that_are_not_alike_do_not_predict_together(folds: Path, change: Any, what: str) -> None:
    path = folds / "fold2/checkpoints/best.ckpt"
    content = torch.load(path, weights_only=True)
    content.pop("digests", None)
    change(content["resnet_tl"])
    from resnet_tl.tensor_file import save_atomically

    save_atomically(content, path)
    with pytest.raises(WeightsError, match=rf"fold2.* cannot predict together: their {what} differ$"):
        read_network(folds, trust_code=False)
