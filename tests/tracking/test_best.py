"""best.ckpt, predictions.npz and summary.json are of one validation, however a run was stopped and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.tracking.best import Best
from resnet_tl.tracking.last import Last
from resnet_tl.tracking.predictions import load_evaluation
from tests.tracking.test_predictions import evaluation

LOST = "the best before step 8 is lost"


@pytest.fixture
def module(tiny: Any) -> Callable[..., Any]:
    """`module([0.5, 0.7])`: with predictions, and these accuracies in its epochs of 4 steps."""

    class Recorded(tiny):
        def on_validation_epoch_end(self) -> None:
            self.evaluation = evaluation(self.global_step)

    return Recorded


def steps(run: Path) -> tuple[int, int, int]:
    """Of the best, by best.ckpt, predictions.npz and summary.json."""
    saved = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["global_step"]
    summary = json.loads((run / "summary.json").read_text())
    return saved, load_evaluation(run / "predictions.npz").step, summary["best"]["step"]


def kill_at(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills the run after its second epoch, before its `place` is written."""
    kind, name = {"last.ckpt": (Last, "save"), "best.ckpt": (Best, "check_monitor_top_k")}[place]
    write = getattr(kind, name)

    def killed(self: Any, trainer: Any, *more: Any) -> Any:
        if trainer.global_step == 8:
            raise RuntimeError("power cut")
        return write(self, trainer, *more)

    monkeypatch.setattr(kind, name, killed)


@pytest.fixture
def resumed(train: Any, module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`resumed("last.ckpt", [0.5, 0.3])`: the folder of a run that was killed, and came to other accuracies then."""

    def run(place: str, accuracies: list[float], epochs: int = 3) -> Path:
        with monkeypatch.context() as patch:
            kill_at(place, patch)
            with pytest.raises(RuntimeError, match="power cut"):
                train(module([0.5, 0.9, 0.6]))
        train(module(accuracies), epochs, resume=tmp_path / "run/checkpoints/last.ckpt")
        return tmp_path / "run"

    return run


@pytest.mark.parametrize("place", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize(("accuracies", "best"), [([0.5, 0.3, 0.2], 8), ([0.5, 0.3, 0.4], 12), ([0.5, 0.6, 0.4], 8)])
def test_files_of_what_was_not_resumed_are_replaced(
    place: str, accuracies: list[float], best: int, resumed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert steps(resumed(place, accuracies)) == (best, best, best)
    assert (LOST in capsys.readouterr().out) == (accuracies[1] < 0.5)


@pytest.mark.parametrize("place", ["last.ckpt", "best.ckpt"])
def test_the_same_run_writes_the_same_files_again(
    place: str, resumed: Any, train: Any, module: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(module([0.5, 0.9, 0.6]), name="whole")
    run = resumed(place, [0.5, 0.9, 0.6])
    assert steps(run) == steps(tmp_path / "whole") == (8, 8, 8)
    assert "is lost" not in capsys.readouterr().out
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (run, tmp_path / "whole")]
    assert summaries[0]["best"] == summaries[1]["best"]
    assert (run / "metrics.csv").read_text() == (tmp_path / "whole/metrics.csv").read_text()


def test_a_run_made_shorter_predicts_with_its_last_weights(resumed: Any) -> None:
    run = resumed("last.ckpt", [0.5, 0.5], epochs=1)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["last.ckpt"]
    assert not (run / "predictions.npz").exists()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["best"] == summary["final"]


def test_what_replaced_the_lost_best_is_kept_on_the_next_resume(
    resumed: Any, train: Any, module: Any, tmp_path: Path
) -> None:
    run = resumed("last.ckpt", [0.5, 0.3], epochs=2)
    train(module([0.5, 0.3, 0.2]), resume=run / "checkpoints/last.ckpt")
    assert steps(run) == (8, 8, 8)


def test_a_deleted_best_is_replaced_by_the_next(
    train: Any, module: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(module([0.9]), epochs=1)
    (tmp_path / "run/checkpoints/best.ckpt").unlink()
    train(module([0.9, 0.5]), epochs=2, resume=tmp_path / "run/checkpoints/last.ckpt")
    assert steps(tmp_path / "run") == (8, 8, 8)
    assert "val/acc 0.5  lr" in capsys.readouterr().out, "not (best 0.9)"


def test_the_best_of_a_moved_run_stays(train: Any, module: Any, tmp_path: Path) -> None:
    train(module([0.9]), epochs=1, name="before")
    (tmp_path / "before").rename(tmp_path / "run")
    train(module([0.9, 0.5]), epochs=2, resume=tmp_path / "run/checkpoints/last.ckpt")
    assert steps(tmp_path / "run") == (4, 4, 4)


def test_without_validation_there_is_no_best_and_no_warning(
    train: Any, module: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    train(module([0.5]), 1, limit_val_batches=0)
    assert not (tmp_path / "run/checkpoints/best.ckpt").exists()
    assert not [each for each in recwarn if "ModelCheckpoint" in str(each.message)]
