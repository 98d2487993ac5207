"""`resnet-tl report`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FIT = "fit -c photos.yaml --data.root {} --run run --trainer.max_epochs 1"


def test_a_run_has_its_report_and_another_file_on_request(
    here: Path, images: Path, resnet_tl: Callable[..., Any]
) -> None:
    assert resnet_tl(FIT, images).code == 0
    for _ in range(2):  # the run's own is replaced
        done = resnet_tl("report run")
        assert done.code == 0, done.err
        assert done.out.startswith("run/report.html: ")
    assert resnet_tl("report run --out other.html").code == 0
    done = resnet_tl("report run --out other.html")
    assert done.code == 2
    assert done.err.startswith("error: other.html: exists already, and nothing is overwritten")


def test_images_that_have_moved_are_named_and_a_report_with_images_is_kept(
    here: Path, images: Path, resnet_tl: Callable[..., Any]
) -> None:
    root = here / "photos"
    shutil.copytree(images, root)
    assert resnet_tl(FIT, root).code == 0
    assert resnet_tl("report run").code == 0
    before = (here / "run/report.html").read_bytes()
    done = resnet_tl("report run --data.root nothere")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "nothere" in done.err
    root.rename(here / "photos2")
    done = resnet_tl("report run")
    assert done.code == 2
    note, error = done.err.splitlines()
    assert note.startswith("The images are not shown: ")
    assert note.endswith("? If they have moved: --data.root PATH.")
    assert error.startswith("error: run/report.html: has images, and a report without images does not replace it; ")
    assert (here / "run/report.html").read_bytes() == before
    done = resnet_tl("report run --out without.html")
    assert done.code == 0
    assert done.err.splitlines() == [note]
    done = resnet_tl("report run --data.root photos2")
    assert (done.code, done.err) == (0, "")


def test_the_test_images_have_a_file_of_their_own(here: Path, images: Path, resnet_tl: Callable[..., Any]) -> None:
    root = here / "photos"
    shutil.copytree(images, root)
    shutil.copytree(images / "val", root / "test")
    assert resnet_tl("fit -c photos.yaml --data.root {} --run run --trainer.max_epochs 1", root).code == 0
    (here / "run" / "report.html").write_text("that of validation")
    done = resnet_tl("report run --split test")
    assert done.code == 0, done.err
    assert "run/report_test.html: " in done.out
    assert (here / "run" / "report.html").read_text() == "that of validation"
    assert "8 test images" in (here / "run" / "report_test.html").read_text()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("report", "report needs a run folder: resnet-tl report RUN"),
        ("report a b ../{here}/a", "report a b ../{here}/a: a run is named twice; expected different ones"),
        ("report run --split train", "--split train: expected val or test"),
        ("report nowhere", "nowhere: no run; expected a folder with summary.json"),
        ("report run --trainer.max_epochs 3", "--trainer.max_epochs: unknown option; a report takes --data.KEY alone"),
    ],
)
def test_mistakes_are_errors_of_one_sentence(
    line: str, sentence: str, here: Path, resnet_tl: Callable[..., Any]
) -> None:
    line, sentence = (text.replace("{here}", here.name) for text in (line, sentence))
    done = resnet_tl(line)
    assert done.code == 2
    assert done.err.startswith(f"error: {sentence}")
    assert done.err.count("\n") == 1
