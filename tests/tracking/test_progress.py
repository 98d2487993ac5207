from __future__ import annotations

import csv
import io
import re
import time
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from rich.console import Console

from resnet_tl.tracking.best import Best
from resnet_tl.tracking.pace import Pace
from resnet_tl.tracking.progress import Bar, Lines, Progress
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.terminal import terminal_log


def test_a_line_an_epoch_where_there_is_no_terminal(train: Any, tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    class Slow(tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            time.sleep(0.1)
            return super().training_step(batch, batch_idx)

    trainer = train(Slow([0.5, 0.75, 0.875]))
    lines = capsys.readouterr().out.splitlines()
    loss, speed = r"\d\.\d+", r"\d+ images/s|\d\.\d images/s"
    assert len(lines) == 3
    assert re.fullmatch(
        rf"epoch 1/3  train/loss_epoch {loss}  val/loss {loss}  val/acc 0.5  lr 0.025  ({speed})  \d+ s left", lines[0]
    )
    assert re.fullmatch(
        rf"epoch 3/3  train/loss_epoch {loss}  val/loss {loss}  val/acc 0.875  lr 0.00833  ({speed})", lines[2]
    )
    assert f"val/loss {trainer.callback_metrics['val/loss']:.4g}" in lines[2]


def test_an_epoch_that_is_not_the_best_names_the_best_also_after_a_resume(
    train: Any, tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accuracies = [0.75, 0.5, 0.625, 0.875]
    train(tiny(accuracies), epochs=2)
    train(tiny(accuracies), epochs=4, resume=tmp_path / "run/checkpoints/last.ckpt")
    shown = [line.split("  lr ")[0].split("  ")[-1] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["val/acc 0.75", "val/acc 0.5 (best 0.75)", "val/acc 0.625 (best 0.75)", "val/acc 0.875"]


def test_the_epochs_mean_loss_is_reported_and_logged(
    train: Any, tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = []

    class Known(tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            losses.append(loss.item())
            return loss

    train(Known(), epochs=2, accumulate_grad_batches=2)
    means = [sum(losses[:4]) / 4, sum(losses[4:]) / 4]
    reported = [float(line.split("train/loss_epoch ")[1].split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert reported == pytest.approx(means, abs=1e-3)
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    by_epoch = {int(row["epoch"]): float(row["train/loss_epoch"]) for row in rows if row["train/loss_epoch"]}
    assert by_epoch == {0: pytest.approx(means[0]), 1: pytest.approx(means[1])}
    assert all(row["val/acc"] for row in rows if row["train/loss_epoch"]), "a row with the validation's"


class NextToAnother(SingleDeviceStrategy):
    """Of a rank next to another one, whose mean losses are higher by one."""

    def reduce(self, tensor: Any, *args: Any, **options: Any) -> Any:
        return tensor + 0.5


def test_the_epochs_mean_loss_is_that_of_all_ranks(
    train: Any, tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = []
    for name, strategy in (("alone", "auto"), ("pair", NextToAnother("cpu"))):
        train(tiny(), epochs=1, name=name, strategy=strategy)
        (line,) = capsys.readouterr().out.splitlines()
        rows = csv.DictReader((tmp_path / name / "metrics.csv").read_text().splitlines())
        (logged,) = (float(row["train/loss_epoch"]) for row in rows if row["train/loss_epoch"])
        assert f"train/loss_epoch {logged:.4g}  " in line
        losses.append(logged)
    assert losses[1] == pytest.approx(losses[0] + 0.5)


@pytest.mark.parametrize(("saved", "loss"), [([3.0], 3.0), (3.0, 3.0), ([2.0, 4.0], 3.0)])
def test_the_loss_so_far_is_resumed_on_other_ranks_and_from_earlier_versions(saved: Any, loss: float) -> None:
    progress = Progress(Best(RunFolder(Path("run")), "val/acc"), Pace(), terminal=False)
    progress.setup(Trainer(logger=False, accelerator="cpu", devices=1), LightningModule(), "fit")
    progress.load_state_dict({"loss": saved, "batches": 4})
    assert progress.state_dict() == {"loss": [loss], "batches": 4, "logs": False}


def test_a_log_file_gets_a_line_a_minute_at_most(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines = Lines()
    with terminal_log():
        for batch in range(200):
            now += 1.0
            if lines.due():
                lines.at("epoch 1/2", batch, 200, "train/loss 0.5")
    assert capsys.readouterr().out.splitlines() == [
        f"epoch 1/2  batch {batch}/200  train/loss 0.5" for batch in (60, 121, 182)
    ]


def test_the_bar_is_removed_after_an_error(train: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Bar] = []

    class Watched(Bar):
        def __init__(self) -> None:
            super().__init__()
            bars.append(self)

        def due(self) -> bool:
            return True

    monkeypatch.setattr("resnet_tl.tracking.progress.Bar", Watched)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    class Fails(tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 2:
                assert bars[-1]._rich is not None
                raise RuntimeError("in the middle")
            return super().training_step(batch, batch_idx)

    with pytest.raises(RuntimeError, match="in the middle"):
        train(Fails())
    assert bars[-1]._rich is None


def test_other_ranks_display_nothing(tmp_path: Path) -> None:
    progress = Progress(Best(RunFolder(tmp_path), "val/acc"), Pace(), terminal=True)
    progress.disable()
    assert not progress._display.due()


@pytest.mark.parametrize("width", [80, 120])
def test_a_bar_and_the_count_fit_on_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    console = Console(file=terminal, width=width, force_terminal=True, legacy_windows=False)
    monkeypatch.setattr("rich.progress.get_console", lambda: console)
    bar = Bar()
    text = "train/loss_epoch 0.4112  val/acc 0.912  212 images/s  1.2 min left"
    bar.at("epoch 12/30", 22, 100, text)
    bar.end()
    line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).partition("\r")[0].strip()
    assert re.match(r"epoch 12/30 [━╸╺]{10,20} +22/100 train/loss_epoch 0.4112  val/acc 0.912 ", line)
    assert "\n" not in line
    assert line.endswith(text) is (width == 120)
