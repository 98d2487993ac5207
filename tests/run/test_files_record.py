"""A resumed run knows its data: what has changed is a sentence, and accepted on request."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resnet_tl
from resnet_tl.errors import RunError
from resnet_tl.run.finished import Run

RECIPE = {
    "model": {"class_path": "Classification", "init_args": {"backbone": {"name": "resnet_tiny"}}},
    "data": {
        "class_path": "ImageFolder",
        "init_args": {"root": "photos", "image_size": 16, "crop": 1.0, "batch_size": 4, "num_workers": 0},
    },
    "trainer": {"precision": "32", "accelerator": "cpu"},
    "tracking": {"report": False},
}


@pytest.fixture
def run(here: Path, images: Path) -> Run:
    """Of one epoch, on a copy of the images."""
    shutil.copytree(images, here / "photos")
    return resnet_tl.fit(RECIPE, run="run", **{"trainer.max_epochs": 1})


def resume(**options: Any) -> Run:
    return resnet_tl.fit(resume="run", **options, **{"trainer.max_epochs": 2})


def removed(root: Path) -> None:
    (root / "train/red/2.png").unlink()


def added(root: Path) -> None:
    shutil.copy(root / "train/red/2.png", root / "train/red/9.png")


def renamed(root: Path) -> None:
    (root / "train/red/2.png").rename(root / "train/red/2b.png")


def changed(root: Path) -> None:
    path = root / "train/red/2.png"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (removed, r"train: 1 file is gone \(train/red/2\.png\)"),
        pytest.param(added, r"train: 1 file is new \(train/red/9\.png\)", marks=pytest.mark.slow),
        pytest.param(
            renamed,
            r"train: 1 file is gone \(train/red/2\.png\), 1 file is new \(train/red/2b\.png\)",
            marks=pytest.mark.slow,
        ),
        (changed, r"train: 1 file has another content \(train/red/2\.png\)"),
    ],
)
def test_changed_data_is_refused_and_accepted_on_request(
    run: Run, here: Path, change: Callable[[Path], None], clause: str
) -> None:
    change(here / "photos")
    with pytest.raises(RunError, match=rf"^photos has changed since run began: {clause}; restore it, or resume with"):
        resume()
    assert not run.summary.get("changed_data")
    again = resume(accept_changed_data=True)
    assert again.summary["finished"]
    (accepted,) = again.summary["changed_data"]
    assert f"data that has changed since the run began: {accepted}" in (run.path / "log.txt").read_text()
    longer = resnet_tl.fit(resume="run", **{"trainer.max_epochs": 3})  # nothing new has changed
    assert longer.summary["changed_data"] == [accepted]


def test_a_copy_elsewhere_is_the_same_data(run: Run, here: Path) -> None:
    shutil.copytree(here / "photos", here / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(here / "photos")
    assert "changed_data" not in resume(**{"data.root": "copy"}).summary


def test_a_run_of_before_is_compared_from_now_on(run: Run, here: Path) -> None:
    (run.path / "files.json").unlink()
    removed(here / "photos")
    resume()
    assert "train/red/2.png" not in json.loads((run.path / "files.json").read_text())["splits"]["train"]["files"]


def test_a_damaged_record_is_named(run: Run) -> None:
    (run.path / "files.json").write_text("{}")
    with pytest.raises(RunError, match=r"^run/files\.json: damaged; delete it to resume without comparing the data$"):
        resume()
