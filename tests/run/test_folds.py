"""All folds of a recipe, one after another."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
import torch

import resnet_tl
from resnet_tl.errors import DataError, RecipeError, RunError, UserError
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.report.page import write_report
from resnet_tl.report.records import read_run
from resnet_tl.run.finished import Folds
from resnet_tl.run.resume import has_finished
from resnet_tl.tracking.predictions import load_evaluation
from resnet_tl.tracking.run_folder import RunFolder
from tests.cli.test_objects import RECIPE as OBJECTS
from tests.cli.test_segmentation import RECIPE as MASKS

SAMPLES = shipped_root() / "data" / "samples"

AT = """
import os, signal
from lightning.pytorch import Callback

class At(Callback):
    def on_train_batch_start(self, trainer, module, *_):
        place = f"{module.recipe['data']['init_args']['fold']}:{trainer.global_step}"
        if os.environ.get("AT") == place:
            os.kill(os.getpid(), getattr(signal, os.environ.get("SIGNAL", "SIGKILL")))
"""
Process = Callable[..., BaseProcess]


def weights(run: Path) -> dict[str, torch.Tensor]:
    saved: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    return saved


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()


def keys(folder: Path) -> list[str]:
    return load_evaluation(folder / "predictions.npz").keys.tolist()


def test_every_image_is_validated_once_and_the_results_are_of_all(
    here: Path, images: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = resnet_tl.fit("photos.yaml", folds=3, **{"data.root": images})
    assert isinstance(done, Folds)
    assert done.path.parent == Path("runs/photos")
    assert done.path.name.endswith("-folds")
    every = sorted(path.relative_to(images).as_posix() for path in images.glob("*/*/*"))
    assert sorted(keys(done.path)) == every  # train and val are joined
    assert keys(done.path) == [key for run in done.runs for key in keys(run.path)]
    for run in done.runs:
        with open(run.path / "split.csv", newline="") as file:
            split = {row["key"]: row["split"] for row in csv.DictReader(file)}
        assert sorted(split) == every
        assert {key for key in split if split[key] == "val"} == set(keys(run.path))
    values = [run.best["val/loss"] for run in done.runs]
    content = json.loads((done.path / "folds.json").read_text())
    assert content["metrics"]["val/loss"] == {"mean": fmean(values), "sd": stdev(values), "folds": values}
    assert done.best["val/loss"] == fmean(values)
    assert done.final["val/loss"] == fmean(run.final["val/loss"] for run in done.runs)
    pooled, evaluation = content["pooled"], load_evaluation(done.path / "predictions.npz")
    right = (evaluation.probabilities.argmax(1) == evaluation.targets).mean()  # type: ignore[attr-defined]
    assert (pooled["headline"], pooled["images"], content["finished"]) == ("acc", 20, True)
    assert pooled["metrics"]["val/acc"] == pytest.approx(right)
    assert pooled["interval"][0] <= right <= pooled["interval"][1]
    out = capfd.readouterr().out
    assert "fold 2 of 3, of train and val together" in out
    assert "all 20 images, each predicted by the fold that was not trained on it: val/acc" in out
    single = resnet_tl.fit("photos.yaml", **{"data.root": images, "data.folds": 3, "data.fold": 2})
    assert_same_weights(single.path, done.runs[2].path)


@pytest.fixture
def finished(process: Process, here: Path, images: Path) -> Callable[..., int | None]:
    """`finished("--run whole", AT="1:3")`: the exit code of a call that trains 2 folds, in a process of its own."""
    (here / "at.py").write_text(AT)
    line = f"fit -c photos.yaml --data.root {images} --folds 2 --tracking.checkpoint_every 1"

    def call(more: str, **environment: str) -> int | None:
        whole = more if more.startswith("fit") else f"{line} --trainer.callbacks '[{{class_path: at.At}}]' {more}"
        started = process(whole, here, **environment)
        started.join(300)
        return started.exitcode

    return call


def assert_same_folds(one: Path, other: Path) -> None:
    for number in (1, 2):
        assert_same_weights(one / f"fold{number}", other / f"fold{number}")
    contents = [json.loads((folder / "folds.json").read_text()) for folder in (one, other)]
    assert contents[0]["metrics"] == contents[1]["metrics"]
    assert contents[0]["pooled"] == contents[1]["pooled"]


def test_a_killed_call_resumes_its_fold_and_no_other(finished: Callable[..., int | None], here: Path) -> None:
    assert finished("--run whole") == 0
    assert finished("", AT="1:3") == -signal.SIGKILL
    (killed,) = (here / "runs/photos").iterdir()
    before = (killed / "fold1/summary.json").stat().st_mtime_ns
    assert not json.loads((killed / "folds.json").read_text())["finished"]
    assert finished("--resume auto") == 0
    assert (killed / "fold1/summary.json").stat().st_mtime_ns == before
    assert_same_folds(here / "whole", killed)


def test_folds_that_are_stopped_before_their_report_are_finished_on_resume(
    here: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[bool] = []

    def report(run: RunFolder, data: object) -> None:
        if run.is_folds:
            reported.append(has_finished(run))
        if len(reported) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("resnet_tl.report.after_fit.after_fit", report)
    with pytest.raises(KeyboardInterrupt):
        resnet_tl.fit("photos.yaml", folds=2, run="folds", **{"data.root": images, "trainer.max_epochs": 1})
    assert has_finished(RunFolder(resnet_tl.fit(resume="folds").path))
    assert reported == [False, False], "it is finished after its report"


@pytest.mark.slow
def test_a_stopped_call_names_its_folder_and_trains_the_folds_that_are_left(
    finished: Callable[..., int | None], here: Path
) -> None:
    assert finished("--run whole") == 0
    assert finished("--run stopped", AT="0:3", SIGNAL="SIGTERM") == 128 + signal.SIGTERM
    line = "to resume this fold and train those after it: --resume stopped"
    assert line in (here / "output.txt").read_text()
    assert (here / "output.txt").read_text().count("--resume") == 1
    assert finished("fit --resume stopped --trust-code") == 0
    assert_same_folds(here / "whole", here / "stopped")


@pytest.mark.parametrize(
    ("recipe", "samples", "headline"),
    [(OBJECTS, "detection", "map"), pytest.param(MASKS, "segmentation", "miou", marks=pytest.mark.slow)],
)
def test_objects_and_masks_have_folds_too(here: Path, recipe: str, samples: str, headline: str) -> None:
    (here / "other.yaml").write_text(recipe.replace(", callbacks: [{class_path: at.At}]", ""))
    values: dict[str, Any] = {"data.root": SAMPLES / samples, "trainer.max_epochs": 1, "trainer.limit_train_batches": 1}
    done = resnet_tl.fit("other.yaml", folds=2, run="run", **values)
    listed = [key for run in done.runs for key in keys(run.path)]  # type: ignore[attr-defined]
    assert keys(done.path) == listed
    assert len(set(listed)) == len(listed) == done.summary["pooled"]["images"]
    assert done.summary["pooled"]["headline"] == headline
    low, high = done.summary["pooled"]["interval"] or (0, 1)  # of a network without a hit there is none
    assert 0 <= low <= high <= 1
    image = load_evaluation(done.path / "predictions.npz").path(0)
    members, (prediction,) = [run.predictor() for run in done.runs], done.predictor().predict(image)  # type: ignore[attr-defined]
    if headline == "map":
        assert (np.diff(prediction.scores) <= 0).all()
        assert prediction.boxes.max() <= max(prediction.image.shape[:2])
    else:
        each = torch.stack([member.logits(prediction.image).softmax(0) for member in members])
        agree = prediction.mask == each.mean(0).argmax(0).numpy()
        assert agree.mean() > 0.98  # networks are averaged before their maps are resized
    write_report(read_run(done.path), here / "report.html")
    with pytest.raises(DataError, match=r"trained on (\d+) of these \1 images"):  # masks do not count
        resnet_tl.evaluate(done, "val")


def test_folds_stopped_by_the_keyboard_name_their_folder(
    here: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stopped(recipe: Any, folder: Callable[[], Any], checkpoint: Any, **options: Any) -> None:
        folder()
        raise KeyboardInterrupt

    monkeypatch.setattr("resnet_tl.run.fit.train", stopped)
    with pytest.raises(KeyboardInterrupt):
        resnet_tl.fit("photos.yaml", folds=2, run="folds", **{"data.root": images})
    assert capfd.readouterr().out.splitlines()[-1].endswith("train those after it: --resume folds")


GROUPS = {"data.group": r"(train|val)/"}


@pytest.mark.parametrize(
    ("folds", "values", "error", "sentence"),
    [
        (1, {}, RecipeError, "--folds 1: expected 2 or more"),
        (21, {}, RecipeError, "data.folds is 21 and data.fold 0; expected 2 to 20 folds (as many as images)"),
        (3, GROUPS, RecipeError, "has images for 2 folds only: it has no more groups"),
        (3, {"data.fold": 0}, RecipeError, "--data.fold chooses one fold, but --folds 3 trains all of them"),
        (3, {"overlays": {"data": {"init_args": {"fold": 1}}}}, RecipeError, "data.fold chooses one fold, but"),
        (3, {"resume": "runs"}, RecipeError, "--resume runs uses its own recipe, so --folds 3 cannot be given with it"),
    ],
)
def test_mistakes_are_found_before_the_first_fold(
    here: Path,
    images: Path,
    folds: int,
    values: dict[str, Any],
    error: type[UserError],
    sentence: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    recipe = None if "resume" in values else "photos.yaml"
    with pytest.raises(error) as raised:
        resnet_tl.fit(recipe, folds=folds, **{"data.root": images, **values})
    assert sentence in str(raised.value)
    assert "fold 1 of" not in capfd.readouterr().out
    assert not list(here.glob("runs/photos/*"))


def test_trained_folds_are_neither_resumed_nor_taken_for_a_run(here: Path, images: Path) -> None:
    values: dict[str, Any] = {"data.root": images, "trainer.max_epochs": 1, "trainer.limit_train_batches": 1}
    done = resnet_tl.fit("photos.yaml", folds=2, run="folds", **values)
    with pytest.raises(RunError, match=r"^--resume folds: its 2 folds are trained$"):
        resnet_tl.fit(resume=done.path)
    with pytest.raises(RunError, match=r"^--resume auto: the folds in folds are all trained, or"):
        resnet_tl.fit("photos.yaml", folds=2, run="folds", resume="auto", **values)
    with pytest.raises(RecipeError, match=r"^--trainer\.max_epochs: a resumed run keeps its recipe; only trainer\.dev"):
        resnet_tl.fit(resume=done.path, **{"trainer.max_epochs": 2})
    with pytest.raises(RunError, match="not empty"):  # as a run of its own
        resnet_tl.fit("photos.yaml", run="folds", resume="auto", **values, **{"data.folds": 2})


def test_folds_of_which_results_alone_are_missing_are_not_trained_again(here: Path, images: Path) -> None:
    values: dict[str, Any] = {"data.root": images, "trainer.max_epochs": 1, "trainer.limit_train_batches": 1}
    done = resnet_tl.fit("photos.yaml", folds=2, **values)
    before = json.loads((done.path / "folds.json").read_text())
    (done.path / "folds.json").write_text('{"folds": 2, "finished": false}')
    (done.path / "predictions.npz").unlink()
    again = resnet_tl.fit("photos.yaml", folds=2, resume="auto", **values)
    assert again.path == done.path
    assert json.loads((done.path / "folds.json").read_text()) == before


def test_a_run_without_predictions_has_means_alone(here: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_tl.tasks.classification.RECORDED", 0)
    done = resnet_tl.fit("photos.yaml", folds=2, **{"data.root": images, "trainer.max_epochs": 1})
    assert done.summary["pooled"] is None
    assert set(done.best) == {"val/loss", "val/acc", "val/f1", "val/ece"}
    assert not (done.path / "predictions.npz").exists()


@pytest.mark.slow
def test_two_ranks_train_the_same_folds_and_resume_together(
    finished: Callable[..., int | None], here: Path, images: Path
) -> None:
    """Rank 0 starts the other."""
    two = "--trainer.accelerator cpu --trainer.devices 2 --trainer.strategy ddp --data.batch_size 2"
    assert finished(f"{two} --run whole") == 0
    assert finished(f"{two} --run stopped", AT="1:3", SIGNAL="SIGTERM") == 128 + signal.SIGTERM
    assert finished("fit --resume stopped --trust-code") == 0
    assert_same_folds(here / "whole", here / "stopped")
    assert len(set(keys(here / "whole"))) == len(list(images.glob("*/*/*")))
