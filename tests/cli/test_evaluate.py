"""`resnet-tl validate` and `test`, of runs, checkpoints and weights."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl import checkpoint
from resnet_tl.cli.evaluate import _metrics
from resnet_tl.cli.main import main
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build, public_keys
from tests.cli.conftest import RECIPE


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "photos.yaml").write_text(RECIPE)
    fit = ["fit", "-c", str(folder / "photos.yaml"), "--data.root", str(images), "--run", str(folder / "run")]
    assert main([*fit, "--trainer.max_epochs", "6"]) == 0
    return folder / "run"


def test_a_run_evaluates_as_it_did_in_training(resnet_tl: Callable[..., Any], here: Path, run: Path) -> None:
    best = json.loads((run / "summary.json").read_text())["best"]
    done = resnet_tl("validate {} --out scores.json", run)
    assert done.code == 0, done.err
    scores = json.loads((here / "scores.json").read_text())
    for name in ("val/acc", "val/loss"):
        assert scores["metrics"][name] == pytest.approx(best[name], abs=1e-6)
    assert scores["headline"] == "acc"
    assert scores["images"] == 8
    assert scores["classes"] == ["blue", "red"]
    assert scores["interval"][0] <= scores["metrics"]["val/acc"] <= scores["interval"][1]
    assert sum(map(sum, scores["confusion"])) == 8
    assert f"val/acc   {best['val/acc']:.4f}  (95 % interval " in done.out
    assert ", 8 images)" in done.out


def test_the_tables_are_printed_and_written(resnet_tl: Callable[..., Any], here: Path, run: Path) -> None:
    done = resnet_tl("validate {} --tables tables --out scores.json", run)
    assert done.code == 0, done.err
    scores = json.loads((here / "scores.json").read_text())
    assert list(scores["tables"]) == ["summary", "per_class", "confusion"]
    for name, rows in scores["tables"].items():
        with (here / "tables" / f"{name}.csv").open(newline="") as file:
            written = list(csv.DictReader(file))
        assert written == [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    (first, *_), low, high = scores["tables"]["summary"], *scores["interval"]
    accuracy = scores["metrics"]["val/acc"]
    assert first == {"metric": "acc", "name": "accuracy", "value": accuracy, "low": low, "high": high}
    assert [[row["blue"], row["red"]] for row in scores["tables"]["confusion"]] == scores["confusion"]
    printed = [line.split() for line in done.out.splitlines()]
    assert ["accuracy", f"{accuracy:.3f}", f"{low:.3f}", "to", f"{high:.3f}"] in printed
    again = resnet_tl("validate {} --tables tables", run)
    assert (again.code, again.err) == (2, "error: --tables tables: exists already, and nothing is overwritten\n")


def test_the_sensitivity_at_a_specificity_is_added(resnet_tl: Callable[..., Any], here: Path, run: Path) -> None:
    done = resnet_tl("validate {} --specificity 0.9 --tables tables", run)
    assert done.code == 0, done.err
    with (here / "tables" / "per_class.csv").open(newline="") as file:
        assert list(csv.DictReader(file).fieldnames or [])[-3:] == [
            f"sensitivity_at_specificity_0.9{end}" for end in ("", "_low", "_high")
        ]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--specificity 95", "specificity is 95; expected a share between 0 and 1, as 0.95"),
        ("--specificity x", "--specificity x: expected a number"),
        ("--spacing 0.5", "spacing is an option for Segmentation, and this is Classification; leave it out"),
    ],
)
def test_wrong_measures(resnet_tl: Callable[..., Any], run: Path, option: str, message: str) -> None:
    done = resnet_tl(f"validate {{}} {option}", run)
    assert (done.code, done.err) == (2, f"error: {message}\n")


@pytest.mark.slow
def test_two_ranks_evaluate_as_one_and_print_once(
    resnet_tl: Callable[..., Any], here: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resnet_tl("validate {} --out one.json", run).code == 0
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = [sys.executable, "-m", "resnet_tl.cli.main", "validate", str(run), "--out", "two.json"]
    two = subprocess.run(
        [*command, "--trainer.accelerator", "cpu", "--trainer.devices", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("val/acc ") == 1
    one, both = (json.loads((here / name).read_text()) for name in ("one.json", "two.json"))
    assert one.pop("metrics") == pytest.approx(both.pop("metrics"), abs=1e-6)
    assert one == both


def test_an_existing_file_is_not_overwritten(resnet_tl: Callable[..., Any], here: Path, run: Path) -> None:
    (here / "scores.json").write_text("mine")
    done = resnet_tl("validate {} --out scores.json", run)
    assert (done.code, done.err) == (2, "error: --out scores.json: exists already, and nothing is overwritten\n")
    assert (here / "scores.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--out new --tables ./new",
            "--out and --tables are both new; expected a file and a folder of different names",
        ),
        ("--out nowhere/a.json", "--out nowhere/a.json: {here}/nowhere is not a folder"),
        ("--out notes.txt/a.json", "--out notes.txt/a.json: {here}/notes.txt is not a folder"),
        ("--tables notes.txt/a/b", "--tables notes.txt/a/b: {here}/notes.txt is not a folder"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_before_anything_is_evaluated(
    resnet_tl: Callable[..., Any],
    here: Path,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    message: str,
) -> None:
    (here / "notes.txt").write_text("mine")
    monkeypatch.setattr("resnet_tl.run.evaluate.evaluate_run", lambda *_, **__: pytest.fail("evaluated"))
    done = resnet_tl(f"validate {{}} {options}", run)
    assert (done.code, done.err) == (2, f"error: {message.format(here=here)}\n")


def test_the_file_may_lie_in_the_new_folder(resnet_tl: Callable[..., Any], here: Path, run: Path) -> None:
    assert resnet_tl("validate {} --tables new/tables --out new/tables/all.json", run).code == 0
    assert (here / "new/tables/all.json").is_file()


def test_a_checkpoint_evaluates_on_other_images(
    resnet_tl: Callable[..., Any], here: Path, run: Path, images: Path
) -> None:
    shutil.copy(run / "checkpoints" / "last.ckpt", here / "mine.ckpt")
    shutil.copytree(images / "val", here / "others")
    done = resnet_tl("test mine.ckpt --data.root others --data.val_fraction 1 --data.crops 10")
    assert done.code == 0, done.err
    assert "test/acc" in done.out
    assert ", 8 images)" in done.out


def test_other_classes_than_the_checkpoints_are_refused(
    resnet_tl: Callable[..., Any], here: Path, run: Path, images: Path
) -> None:
    shutil.copytree(images / "val", here / "others")
    (here / "others" / "red").rename(here / "others" / "green")
    done = resnet_tl("validate {} --data.root others", run)
    assert done.code == 2
    assert "green" in done.err
    assert len(done.err.splitlines()) == 1


def test_images_of_some_of_the_classes_are_evaluated(
    resnet_tl: Callable[..., Any], here: Path, run: Path, images: Path
) -> None:
    shutil.copytree(images / "val" / "red", here / "others" / "red")
    done = resnet_tl("validate {} --data.root others --data.val_fraction 1 --out scores.json", run)
    assert done.code == 0, done.err
    assert "no image shows blue (1 of 2 classes); means exclude it" in done.out
    scores = json.loads((here / "scores.json").read_text())
    red = scores["per_class"][1]
    assert (red["class"], scores["metrics"]["val/f1"]) == ("red", pytest.approx(red["f1"]))
    assert scores["metrics"]["val/acc"] == pytest.approx(red["recall"])


def test_published_weights_are_evaluated_with_their_classifier(
    resnet_tl: Callable[..., Any], here: Path, run: Path, images: Path
) -> None:
    ours = checkpoint.read(run / "checkpoints" / "last.ckpt")
    network = build(Backbone("resnet_tiny"), None, LinearHead, ours.classes)
    network.load_state_dict(ours.state_dict)
    public = public_keys(network)
    torch.save({public[key]: value for key, value in network.state_dict().items() if key in public}, here / "a.pth")
    line = "validate -c photos.yaml --data.root {} --model.backbone.weights a.pth --data.batch_size 3"
    refused = resnet_tl(line, images)
    assert refused.code == 2
    assert refused.err.splitlines()[-1].startswith("error: validate would score a random classifier: ")
    done = resnet_tl(line + " --model.backbone.keep_classifier true --out scores.json", images)
    assert done.code == 0, done.err
    final = json.loads((run / "summary.json").read_text())["final"]
    scores = json.loads((here / "scores.json").read_text())["metrics"]
    assert scores["val/acc"] == pytest.approx(final["val/acc"], abs=1e-6)
    assert scores["val/loss"] == pytest.approx(final["val/loss"], abs=1e-5)


def test_foreign_code_runs_only_with_trust_code(resnet_tl: Callable[..., Any], here: Path, run: Path) -> None:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    content["resnet_tl"]["recipe"]["model"]["init_args"]["head"]["class_path"] = "theirs.Head"
    torch.save(content, here / "theirs.ckpt")
    (here / "theirs.py").write_text(
        "open('ran', 'w')\nfrom resnet_tl.models.heads.classification import LinearHead\nclass Head(LinearHead): ...\n"
    )
    done = resnet_tl("validate theirs.ckpt")
    assert (done.code, done.err) == (
        2,
        "error: theirs.ckpt: needs 'theirs.Head', which is not part of resnet_tl: "
        "add --trust-code (in Python trust_code=True) if you trust that code\n",
    )
    assert not (here / "ran").exists()
    assert resnet_tl("validate theirs.ckpt --trust-code").code == 0
    assert (here / "ran").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("validate", "validate needs a run folder, a checkpoint or an exported file, or a recipe: -c RECIPE"),
        ("test quickstart", "test quickstart: a recipe is named by -c: resnet-tl test -c quickstart"),
        ("test nowhere", "no run folder or checkpoint at 'nowhere'"),
    ],
)
def test_wrong_ways_to_evaluate(resnet_tl: Callable[..., Any], here: Path, line: str, message: str) -> None:
    assert resnet_tl(line) == (2, "", f"error: {message}\n")


def test_minus_one_is_no_score_of_cocos_alone() -> None:
    def printed(headline: str, name: str) -> str:
        scores = {f"val/{headline}": 0.5, f"val/{name}": -1.0}
        result = {"metrics": scores, "headline": headline, "interval": None, "images": 3}
        return _metrics(result).splitlines()[1].split()[1]

    assert printed("map", "map_small") == "–"
    assert printed("mae", "r2") == "-1.0000"
