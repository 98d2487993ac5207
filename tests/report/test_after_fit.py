"""The report at the end of a run: there, or a sentence in the log, and never a failed run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.report import after_fit as module
from resnet_tl.report.after_fit import after_fit, checkpoint_is_trusted
from resnet_tl.tracking.run_folder import RunFolder
from tests.cli.conftest import resnet_tl

__all__ = ["resnet_tl"]

FIT = "fit -c photos.yaml --data.root {} --run run --trainer.max_epochs 1"


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undoes what tests/conftest.py does to all others."""
    monkeypatch.setattr(module, "after_fit", after_fit)


@pytest.mark.usefixtures("reports")
def test_fit_writes_it_and_names_it(here: Path, images: Path, resnet_tl: Callable[..., Any]) -> None:
    done = resnet_tl(FIT, images)
    assert done.code == 0
    assert (here / "run/report.html").stat().st_size > 5e5
    assert "the report: run/report.html" in done.out
    assert "the report: run/report.html" in (here / "run/log.txt").read_text()


@pytest.mark.usefixtures("reports")
def test_it_can_be_turned_off(here: Path, images: Path, resnet_tl: Callable[..., Any]) -> None:
    done = resnet_tl(f"{FIT} --tracking.report false", images)
    assert done.code == 0
    assert "report" not in done.out
    assert not (here / "run/report.html").exists()


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("resnet_tl.report.page.write_report", "because of a bug (ZeroDivisionError: oh): `resnet-tl report run`"),
        ("resnet_tl.extras.find_spec", "needs altair, vl_convert, jinja2: pip install 'resnet-tl[report]'"),
    ],
)
def test_what_prevents_it_is_a_line(
    broken: str, line: str, here: Path, images: Path, resnet_tl: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(broken, (lambda name: None) if "find_spec" in broken else fail)
    done = resnet_tl(FIT, images)
    assert done.code == 0
    assert "no report" in done.out
    assert line in done.out
    assert ("(tracking.report: false ends this line)" in done.out) == ("find_spec" in broken)
    assert (here / "run/checkpoints/best.ckpt").is_file()


def test_without_its_packages_the_verb_says_what_to_install(
    here: Path, resnet_tl: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_tl.extras.find_spec", lambda name: None)
    done = resnet_tl("report run")
    assert done.code == 2
    assert done.err.endswith("pip install 'resnet-tl[report]'\n")


def test_code_that_only_the_checkpoint_names_is_not_trusted(tmp_path: Path) -> None:
    saved = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11" / "half_run"
    run = RunFolder(Path(shutil.copytree(saved, tmp_path / "run")))
    assert checkpoint_is_trusted(run)
    content = torch.load(run.checkpoints / "best.ckpt", weights_only=True)
    content["resnet_tl"]["recipe"]["model"]["init_args"]["head"]["class_path"] = "evilmod.Head"
    torch.save(content, run.checkpoints / "best.ckpt")
    assert not checkpoint_is_trusted(run)
