"""Comparisons of runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

import resnet_tl
from resnet_tl.errors import RunError
from resnet_tl.metrics.paired import Difference, select
from resnet_tl.report.compare import (
    _by_class,
    _check,
    _on_common_images,
    _sentence,
    flattened,
    labels,
    verdicts,
    write_comparison,
)
from resnet_tl.report.records import RunRecord, read_run
from resnet_tl.tracking.run_folder import RunFolder
from tests.cli.conftest import RECIPE
from tests.report.conftest import Page


@pytest.fixture(scope="module")
def other(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other") / "run"
    values = {"data.root": images, "model.optimizer.lr": 1e-6, "seed_everything": 5, "trainer.max_epochs": 1}
    return resnet_tl.fit(yaml.safe_load(RECIPE), run=folder, **values).path


def test_the_page_says_what_differs(run: Path, other: Path, tmp_path: Path) -> None:
    runs = [read_run(run), read_run(other)]
    write_comparison(runs, tmp_path / "comparison.html")
    page = Page(tmp_path / "comparison.html")
    assert set(page.attributes("data-picture")) == set(page.pictures)
    assert set(page.attributes("data-chart")) == set(page.charts)
    for key in ("model.optimizer.lr", "seed_everything", "trainer.max_epochs"):
        assert key in page.text
    assert "data.root" not in page.text, "equal in both"
    assert " images)." in page.text


@pytest.mark.parametrize(
    ("metric", "found", "text"),
    [
        (
            "acc",
            Difference(0.013, 0.002, 0.025, 500, False),
            "B is better than A by 1.3 points (95 % interval 0.2 to 2.5, 500 images).",
        ),
        (
            "acc",
            Difference(-0.013, -0.025, -0.002, 500, True),
            "A is better than B by 1.3 points (95 % interval 0.2 to 2.5, 500 images, over seeds too).",
        ),
        (
            "acc",
            Difference(-0.005, -0.02, 0.011, 1500, False),
            "B and A do not differ for certain: −0.5 points (95 % interval −2.0 to +1.1, 1,500 images).",
        ),
        (
            "mae",
            Difference(-1.25, -2.5, -0.125, 500, False),
            "B is better than A by 1.25 (95 % interval 0.125 to 2.5, 500 images).",
        ),
        (
            "mae",
            Difference(1.25, -0.5, 3.0, 500, False),
            "B and A do not differ for certain: +1.25 (95 % interval −0.5 to +3, 500 images).",
        ),
    ],
)
def test_a_difference_in_words(metric: str, found: Difference, text: str) -> None:
    assert _sentence(found, "A", "B", metric) == {"text": text, "sure": found.sure}


def test_runs_are_named_by_the_parts_that_differ(run: Path) -> None:
    record = read_run(run)

    def at(*paths: str) -> list[RunRecord]:
        return [replace(record, folder=RunFolder(Path(path))) for path in paths]

    assert labels(at("/runs/a/1", "/runs/b/1")) == ["a/1", "b/1"]
    assert labels(at("/runs/a/1", "/runs/a/2")) == ["1", "2"]


def test_a_recipe_by_its_keys() -> None:
    recipe = {"data": {"class_path": "X", "init_args": {"root": "a", "size": [1, 2]}}, "seed": 1}
    assert dict(flattened(recipe)) == {"data.class_path": "X", "data.root": "a", "data.size": [1, 2], "seed": 1}


def test_runs_that_have_nothing_in_common_are_refused(run: Path, tmp_path: Path) -> None:
    record = read_run(run)
    classes = replace(record, evaluation=replace(record.evaluation, classes=["x", "y"]))
    with pytest.raises(RunError, match="cannot be compared: their classes differ"):
        _check([record, classes])
    keys = replace(record, evaluation=replace(record.evaluation, keys=np.array(["x"] * len(record.evaluation))))
    with pytest.raises(RunError, match="have no validation image in common"):
        _check([record, keys])


def test_runs_on_other_images_are_compared_on_the_common_ones(run: Path, images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "images")
    (tmp_path / "images/val/red/0.png").unlink()
    values = {"data.root": tmp_path / "images", "trainer.max_epochs": 1}
    fewer = resnet_tl.fit(yaml.safe_load(RECIPE), run=tmp_path / "run", **values).path
    write_comparison([read_run(run), read_run(fewer)], tmp_path / "comparison.html")
    text = Page(tmp_path / "comparison.html").text
    assert "7 images)" in text
    assert "on the validation images that all runs have, 7." in text
    assert "of each class on the 7 images that all runs have" in text
    few = np.array([str(key) for key in read_run(run).evaluation.keys[-2:]])
    (one, two) = _on_common_images([read_run(run), _with_images(read_run(fewer), few)])
    again = _with_images(read_run(run), few)
    assert len(one.evaluation) == len(two.evaluation) == 2
    assert one.tables["per_class"] == again.tables["per_class"]
    assert one.scores == again.scores


def test_of_numbers_the_errors_of_each_are_compared() -> None:
    runs: list[Any] = [
        SimpleNamespace(evaluation=range(3), tables={"per_class": [{"number": "age", "images": 3, "mae": mae}]})
        for mae in (2.0, 1.5)
    ]
    section = _by_class(runs, ["one", "two"])
    assert section.title == "Numbers"
    assert section.content == {"rows": [{"number": "age", "one": 2.0, "two": 1.5, "difference": -0.5}]}
    assert section.lead.startswith("The MAE of each number on the 3 images that all runs have")


def _with_images(run: RunRecord, keys: NDArray[np.str_]) -> RunRecord:
    return replace(run, evaluation=select(run.evaluation, np.flatnonzero(np.isin(run.evaluation.keys, keys))))


def test_three_runs_need_images_that_all_have(run: Path) -> None:
    record = read_run(run)
    keys = record.evaluation.keys
    with pytest.raises(RunError, match="have no validation image in common"):
        _check([record, _with_images(record, keys[:2]), _with_images(record, keys[2:])])


def test_seeds_are_counted_by_their_value(run: Path, other: Path) -> None:
    one = read_run(run)
    again = replace(one, recipe={**one.recipe, "seed_everything": 9})
    (sentence,) = verdicts([one, one, again], ["A", "B", "C"])
    assert sentence["text"].startswith("A + B + C: one recipe with 2 seeds, ")
    first, same = verdicts([one, one, read_run(other)], ["A", "B", "D"])
    assert "over seeds" not in first["text"]
    assert same["text"] == "A + B: one recipe with one seed, which says nothing about chance."


def test_runs_that_differ_by_their_seed_are_one_recipe(run: Path, other: Path) -> None:
    one, two = read_run(run), read_run(other)
    again = replace(one, recipe={**one.recipe, "seed_everything": 9})
    (sentence,) = verdicts([one, again], ["A", "B"])
    assert sentence["text"].startswith("A + B: one recipe with 2 seeds, ")
    assert not sentence["sure"]
    first, seeds = verdicts([one, two, again], ["A", "B", "C"])
    assert "over seeds too" in first["text"]
    assert "A + C" in first["text"]
    assert seeds["text"].startswith("A + C: one recipe")
