"""`resnet_tl.evaluate`: runs, checkpoints, recipes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import resnet_tl
from resnet_tl.cli.main import main
from resnet_tl.errors import DataError, RecipeError, WeightsError
from resnet_tl.run.evaluate import record_run
from resnet_tl.run.finished import Run
from tests.cli.conftest import RECIPE


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return resnet_tl.fit(yaml.safe_load(RECIPE), run=folder / "run", **{"data.root": images})


def test_a_run_its_folder_its_checkpoint_and_the_command_agree(here: Path, run: Run) -> None:
    result = resnet_tl.evaluate(run)
    assert result["metrics"]["val/acc"] == pytest.approx(run.best["val/acc"], abs=1e-6)
    assert result == resnet_tl.evaluate(str(run.path)) == resnet_tl.evaluate(run.path / "checkpoints" / "best.ckpt")
    assert main(["validate", str(run.path), "--out", "scores.json"]) == 0
    assert json.loads((here / "scores.json").read_text()) == result


def test_the_test_images_with_overlays_and_values(run: Run, images: Path) -> None:
    values = {"data.root": images / "val", "data.val_fraction": 1, "data.crops": 10}
    result = resnet_tl.evaluate(run, "test", overlays=[{"data": {"init_args": {"batch_size": 3}}}], **values)
    assert {name.partition("/")[0] for name in result["metrics"]} == {"test"}
    assert result["images"] == 8


def test_a_recipe_is_evaluated_by_its_weights_and_never_by_random_ones(here: Path, run: Run, images: Path) -> None:
    for recipe in ("photos.yaml", Path("photos.yaml"), yaml.safe_load(RECIPE)):
        with pytest.raises(RecipeError, match=r"^validate would score a random classifier: "):
            resnet_tl.evaluate(recipe, **{"data.root": images})
    with pytest.raises(RecipeError, match=r"data\.root is missing"):
        resnet_tl.evaluate("classify/folder_resnet50_probe")


def test_mistakes_are_errors_of_one_sentence(here: Path, run: Run) -> None:
    with pytest.raises(RecipeError, match=r"^split is 'train'; expected 'val' or 'test'$"):
        resnet_tl.evaluate(run, "train")
    with pytest.raises(WeightsError, match="no run folder or checkpoint at 'nowhere'"):
        resnet_tl.evaluate("nowhere")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("strategy", "fsdp", r"^trainer\.strategy is fsdp, which shards parameters"),
        ("num_nodes", 2, r"^trainer\.num_nodes is 2, but nothing has started this command on the other machines"),
    ],
)
def test_ranks_that_training_refuses_are_refused(run: Run, key: str, value: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resnet_tl.evaluate(run, **{f"trainer.{key}": value})


def test_other_images_and_another_precision_are_named(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"data.root": images, "trainer.precision": "bf16-mixed", "trainer.max_epochs": 1}
    # In bf16, torch 2.14.1's gradient of a 3x3 convolution of stride 2 on maps of 1x1, which images of 16 pixels end
    # in, reads memory that nobody has written.
    options["data.image_size"] = 32
    half = resnet_tl.fit(yaml.safe_load(RECIPE), run=tmp_path / "run", **options)
    capsys.readouterr()
    resnet_tl.evaluate(half, "test")
    lines = capsys.readouterr().out
    assert "test: there is no test split; these are the results of the val images" in lines
    assert "32-true, as in predict; --trainer.precision bf16-mixed for that of the run's own validations" in lines
    record_run(half.path, [])
    line = next(each for each in capsys.readouterr().out.splitlines() if each.startswith("precision: "))
    assert "--trainer.precision" not in line, "a report takes no such option"
    result = resnet_tl.evaluate(half, **{"trainer.precision": "bf16-mixed"})
    assert result["metrics"] == pytest.approx({name: half.best[name] for name in result["metrics"]}, abs=1e-6)
    lines = capsys.readouterr().out
    assert "precision: bf16-mixed\n" in lines
    assert "split; these are" not in lines


def test_two_names_of_one_precision_do_not_differ(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert "precision: '32'" in (run.path / "recipe.yaml").read_text()
    resnet_tl.evaluate(run)
    assert "precision: 32-true" in (lines := capsys.readouterr().out)
    assert "--trainer.precision" not in lines


def test_folds_are_evaluated_together_on_images_that_are_new_to_them(
    here: Path, images: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "set/test").parent.mkdir()
    for split, target in (("train", "train"), ("val", "test")):
        shutil.copytree(images / split, here / "set" / target)
    for number, path in enumerate((here / "set/test").glob("*/*.png")):
        path.rename(path.with_name(f"new_{number}.png"))
    values: dict[str, Any] = {"data.root": "set", "trainer.max_epochs": 1}
    folds = resnet_tl.fit("photos.yaml", folds=2, run="folds", **values)
    result = resnet_tl.evaluate(folds, "test")
    predicted = {str(each.path): each for each in resnet_tl.load("folds").predict("set/test")}  # type: ignore[arg-type]
    right = [each.classes[0] == Path(path).parent.name for path, each in predicted.items()]  # type: ignore[union-attr]
    assert result["images"] == len(right) == 8
    assert result["metrics"]["test/acc"] == pytest.approx(np.mean(right))
    assert "folds: 2 folds together" in capfd.readouterr().out
    sentence = (
        r"^folds: its networks were trained on 2 of these 2 images, as train/.*; folds/folds\.json has the scores"
    )
    with pytest.raises(DataError, match=sentence):
        resnet_tl.evaluate(folds, "val")
    for run in (folds, folds.runs[1]):  # a set that they do not know is not split
        assert resnet_tl.evaluate(run, "val", **{"data.root": images / "val"})["images"] == 8
    halves = {"data.root": images / "val", "data.val_fraction": 0.5}
    assert resnet_tl.evaluate(folds, "val", **halves)["images"] == 4
    shutil.move("set", "moved")
    assert resnet_tl.evaluate(folds.runs[0], "val", **{"data.root": "moved"})["images"] == 6
    with pytest.raises(DataError, match=sentence):
        resnet_tl.evaluate(folds, "val", **{"data.root": "moved"})
