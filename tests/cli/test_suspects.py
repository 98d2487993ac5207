"""`resnet-tl data suspects`: what it lists, draws and writes, of each task."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.structures.evaluation import ClassEvaluation
from resnet_tl.tracking.predictions import save_evaluation
from tests.cli.conftest import several_labels
from tests.cli.test_segmentation import RECIPE as MASKS

SAMPLES = shipped_root() / "data" / "samples"


@pytest.fixture
def flipped(here: Path, images: Path) -> Path:
    """Red and blue images in one folder, of which one red is called blue; the folder of a run that predicts well."""
    for path in sorted(images.rglob("*.png")):
        name = (
            "blue" if path.parent.name == "red" and path.parts[-3:] == ("train", "red", "3.png") else path.parent.name
        )
        (here / "photos" / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, here / "photos" / name / f"{path.parent.name}_{path.parts[-3]}_{path.name}")
    keys = np.array(sorted(path.relative_to(here / "photos").as_posix() for path in here.glob("photos/*/*.png")))
    red = np.array(["red_" in key for key in keys])
    probabilities = np.where(red[:, None], [0.1, 0.9], [0.8, 0.2]).astype(np.float32)
    targets = np.array([int(key.startswith("red/")) for key in keys])
    evaluation = ClassEvaluation(
        classes=["blue", "red"],
        root=str(here / "photos"),
        split="val",
        step=1,
        absent=[],
        keys=keys,
        losses=np.zeros(len(keys), np.float32),
        probabilities=probabilities,
        targets=targets,
        thresholds=np.zeros(0, np.float32),
    )
    run = here / "run"
    run.mkdir()
    save_evaluation(evaluation, run / "predictions.npz")
    recipe = yaml.safe_load((here / "photos.yaml").read_text())
    recipe["data"]["init_args"]["root"] = str(here / "photos")
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run


def test_a_flipped_label_is_listed_drawn_written_and_excluded_by_fit(
    resnet_tl: Callable[..., Any], flipped: Path
) -> None:
    done = resnet_tl("data suspects run --out all.csv --sheet sheet.jpg --write exclude.csv")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("run: the 20 validation images alone")
    assert "`fit --folds 5` covers all images" in lines[0]
    assert lines[2].split() == ["0.90", "label", "blue/red_train_3.png", "blue", "red"]
    assert "label       1  blue -> red 1" in lines
    assert lines[-1] == "exclude.csv: 1 image to exclude: --data.exclude exclude.csv"
    assert "1 suspects in 1 of 20 images" not in lines
    assert "1 suspect in 1 of 20 images" in lines
    (row,) = csv.DictReader(Path("all.csv").read_text().splitlines())
    assert row["key"] == "blue/red_train_3.png"
    assert (row["given"], row["suggested"], row["score"], row["box"]) == ("blue", "red", "0.9000", "")
    with Image.open("sheet.jpg") as sheet:
        assert sheet.width == 1600
    assert Path("exclude.csv").read_text() == "key,reason\nblue/red_train_3.png,label\n"
    done = resnet_tl(
        "fit -c photos.yaml --data.root photos --data.exclude exclude.csv --run next --trainer.max_epochs 1"
    )
    assert done.code == 0, done.err
    assert "exclude.csv: excludes 1 images" in done.out + done.err
    assert "blue/red_train_3.png" not in Path("next/split.csv").read_text()


def test_folds_cover_all_images(resnet_tl: Callable[..., Any], flipped: Path) -> None:
    (flipped / "folds.json").write_text(json.dumps({"folds": 2, "finished": True}))
    done = resnet_tl("data suspects run --top 1")
    assert done.out.splitlines()[0] == "run: all 20 images, each predicted by the fold that did not learn from it"


def test_unfinished_folds_are_a_sentence(resnet_tl: Callable[..., Any], flipped: Path) -> None:
    (flipped / "folds.json").write_text(json.dumps({"folds": 2, "finished": False}))
    (flipped / "predictions.npz").unlink()
    done = resnet_tl("data suspects run")
    assert done.code == 2
    assert done.err.startswith("error: run: no predictions.npz; folds that are not finished are trained by")


def test_images_that_have_moved_are_named_or_found(resnet_tl: Callable[..., Any], flipped: Path, here: Path) -> None:
    (here / "photos").rename(here / "moved")
    done = resnet_tl("data suspects run --sheet sheet.jpg")
    assert done.code == 2
    assert done.err.rstrip().endswith("; if the images have moved: --data.root PATH")
    assert resnet_tl("data suspects run --sheet sheet.jpg --data.root moved").code == 0


def test_a_run_without_predictions_is_evaluated_first(resnet_tl: Callable[..., Any], here: Path, images: Path) -> None:
    (here / "labels.yaml").write_text(yaml.safe_dump(several_labels(images, here)))
    assert resnet_tl("fit -c labels.yaml --run run --trainer.max_epochs 1 --tracking.report false").code == 0
    Path("run/predictions.npz").unlink()
    done = resnet_tl("data suspects run")
    assert done.code == 0, done.err
    assert Path("run/predictions.npz").is_file()
    again = resnet_tl("data suspects run")
    assert again.out == done.out[-len(again.out) :]


def test_a_mislabelled_region_of_a_mask_is_found(
    resnet_tl: Callable[..., Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_tl.metrics.suspects.regions.UNLIKELY", 1.0)  # one epoch makes nothing unlikely
    (here / "masks.yaml").write_text(MASKS)
    fit = "fit -c masks.yaml --data.root {} --run run --trainer.max_epochs 1 --tracking.report false"
    assert resnet_tl(fit, SAMPLES / "segmentation").code == 0
    done = resnet_tl("data suspects run --out all.csv --sheet sheet.png")
    assert done.code == 0, done.err
    rows = list(csv.DictReader(Path("all.csv").read_text().splitlines()))
    assert {row["kind"] for row in rows} == {"region"}
    assert all(int(row["pixels"]) > 1 for row in rows)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("data suspects", "data suspects needs a run folder: resnet-tl data suspects RUN"),
        ("data suspects -c photos.yaml", "data suspects needs a run folder: resnet-tl data suspects RUN"),
        ("data suspects photos.yaml", "photos.yaml: a file; data suspects needs a run folder"),
        (
            "data suspects run --out a.csv --write ./a.csv",
            "--out and --write both name a.csv; expected a file for each",
        ),
        ("data suspects nowhere", "no run folder or checkpoint at 'nowhere'"),
        ("data suspects run --top 0", "--top is 0; expected 1 or more"),
        ("data suspects run --sheet a.gif", "--sheet a.gif: expected a file that ends in .png or .jpg"),
        ("data suspects run --out photos.yaml", "photos.yaml: exists already, and nothing is overwritten"),
        ("data suspects run --trainer.max_epochs 3", "--trainer.max_epochs: unknown option; data suspects takes"),
        (
            "data suspect run",
            "data has no 'suspect': expected check, stats, preview, pack, suspects; did you mean 'suspects'?",
        ),
    ],
)
def test_mistakes_are_errors_of_one_sentence(
    line: str, sentence: str, resnet_tl: Callable[..., Any], flipped: Path
) -> None:
    done = resnet_tl(line)
    assert done.code == 2
    assert done.err.startswith(f"error: {sentence}")
    assert done.err.count("\n") == 1


def test_without_suspects_nothing_is_written(
    resnet_tl: Callable[..., Any], flipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_tl.run.suspects.label_suspects", lambda evaluation: [])
    done = resnet_tl("data suspects run --out all.csv --sheet sheet.jpg --write exclude.csv")
    assert done.code == 0
    assert done.out.splitlines()[1:] == ["nothing found, so nothing is written: all.csv, sheet.jpg, exclude.csv"]
    assert not any(map(Path.exists, map(Path, ("all.csv", "sheet.jpg", "exclude.csv"))))
    assert resnet_tl("data suspects run").out.splitlines()[1:] == ["nothing found"]


def test_without_cleanlab_it_is_a_sentence(
    resnet_tl: Callable[..., Any], flipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_tl.extras.find_spec", lambda name: None)
    done = resnet_tl("data suspects run")
    assert (done.code, done.err) == (2, "error: data suspects needs cleanlab: pip install 'resnet-tl[suspects]'\n")
