"""What a report reads of a run's folder."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resnet_tl
from resnet_tl.errors import RunError, WeightsError
from resnet_tl.report.compare import write_comparison
from resnet_tl.report.page import write_report
from resnet_tl.report.records import read_run
from tests.report.conftest import Page


def test_a_run_without_predictions_is_evaluated(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("predictions.npz"))
    assert not (tmp_path / "run/predictions.npz").exists()
    recorded, evaluated = read_run(run).evaluation, read_run(tmp_path / "run").evaluation
    for field in fields(recorded):
        one, other = (np.asarray(getattr(each, field.name)) for each in (recorded, evaluated))
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, other, atol=1e-6)
        else:
            np.testing.assert_array_equal(one, other)
    assert (tmp_path / "run/predictions.npz").is_file()


def test_images_that_have_moved_are_a_note_or_found_where_they_are(run: Path, images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    recipe = (run / "recipe.yaml").read_text().replace(str(images), "gone")
    (folder / "recipe.yaml").write_text(recipe)
    lost = read_run(folder)
    assert lost.data is None
    (note,) = lost.notes
    assert note.startswith("The images are not shown: ")
    assert note.endswith("If they have moved: --data.root PATH.")
    assert read_run(folder, [("data.root", str(images))]).notes == []


def test_a_report_without_images_has_the_rest(run: Path, images: Path, tmp_path: Path) -> None:
    folder, moved = tmp_path / "run", tmp_path / "images"
    shutil.copytree(images, moved)
    shutil.copytree(run, folder)
    for name in ("recipe.yaml",):
        (folder / name).write_text((run / name).read_text().replace(str(images), str(moved)))
    record = read_run(folder)
    shutil.rmtree(moved)
    write_report(record, tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert page.pictures == {}
    assert len(page.charts) >= 5


def test_the_test_images_are_reported_next_to_those_of_validation(run: Path, images: Path, tmp_path: Path) -> None:
    root = tmp_path / "images"
    shutil.copytree(images, root)
    shutil.copytree(images / "val" / "red", root / "test" / "red")
    record = read_run(run, [("data.root", str(root))], split="test")
    assert record.evaluation.split == "test"
    assert {key.split("/")[0] for key in record.evaluation.keys} == {"test"}
    assert record.loss == pytest.approx(resnet_tl.evaluate(run, "test", **{"data.root": root})["metrics"]["test/loss"])
    write_report(record, tmp_path / "report.html")
    text = Page(tmp_path / "report.html").text
    assert "4 test images" in text
    assert "No image shows blue: means over classes are over the others." in text
    assert read_run(run).evaluation.split == "val"
    with pytest.raises(RunError, match=r"^--split test: .* has no test images, but train and val; name a folder"):
        read_run(run, split="test")


def test_other_folders_are_errors_of_one_sentence(tmp_path: Path, run: Path) -> None:
    with pytest.raises(RunError, match=r"no run; expected a folder with summary\.json; did you mean"):
        read_run(run.with_name("rum"))


def test_folds_are_reported_by_what_each_predicted_of_images_that_it_did_not_know(
    here: Path, images: Path, tmp_path: Path
) -> None:
    values: dict[str, Any] = {"data.root": images, "trainer.max_epochs": 1}
    first, second = (
        resnet_tl.fit("photos.yaml", folds=2, run=name, **values, **{"model.optimizer.lr": rate})
        for name, rate in (("first", 0.02), ("second", 0.03))
    )
    records = [read_run(folds.path) for folds in (first, second)]
    assert len(records[0].evaluation) == 20
    assert records[0].scores["acc"] == pytest.approx(first.summary["pooled"]["metrics"]["val/acc"])
    write_report(records[0], tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert "The best epoch of each of 2 networks, on the images that it was not trained on." in page.text
    assert "standard deviation" in page.text
    with pytest.raises(RunError, match=r"resnet-tl report first/fold1 --split test$"):
        read_run(first.path, split="test")
    assert "of 20 validation images were predicted wrongly" in page.text
    assert "recipe.yaml --folds 2" in page.text
    write_comparison(records, tmp_path / "comparison.html")
    assert "model.optimizer.lr" in Page(tmp_path / "comparison.html").text
    recipe = tmp_path / "first/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("precision: '32'", "precision: auto"))
    assert read_run(first.path).recipe["trainer"]["precision"] == "32", "of the folds, which have chosen"


def test_folds_that_are_not_all_trained_are_not_reported(tmp_path: Path) -> None:
    (tmp_path / "folds.json").write_text('{"folds": 3, "finished": false}')
    with pytest.raises(WeightsError, match="its 3 folds are not all trained: resnet-tl fit --resume"):
        read_run(tmp_path)
