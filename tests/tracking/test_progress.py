from __future__ import annotations

import re
import time
from typing import Any

import pytest
import torch

from resnet_tl.tracking.pace import Pace, duration
from resnet_tl.tracking.progress import Bar, Lines, Progress
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
    assert re.fullmatch(rf"epoch 1/3  train/loss {loss}  val/loss {loss}  val/acc 0.5  ({speed})  \d+ s left", lines[0])
    assert re.fullmatch(rf"epoch 3/3  train/loss {loss}  val/loss {loss}  val/acc 0.875  ({speed})", lines[2])
    assert f"val/loss {trainer.callback_metrics['val/loss']:.4g}" in lines[2]


def test_the_training_loss_shown_is_the_epochs_mean(train: Any, tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    losses = []

    class Known(tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            losses.append(loss.item())
            return loss

    train(Known(), epochs=2, accumulate_grad_batches=2)
    shown = [float(line.split("train/loss ")[1].split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert shown == pytest.approx([sum(losses[:4]) / 4, sum(losses[4:]) / 4], abs=1e-3)


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


def test_the_bar_is_gone_after_an_error(train: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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


class Clock:
    """A trainer's surroundings for `Pace`, with a time of our own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.max_epochs, self.current_epoch, self.num_training_batches, self.world_size = 4, 0, 10, 2
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def epoch(self, pace: Pace, seconds: list[float], validation: float = 0.0) -> None:
        pace.on_train_epoch_start(self, None)
        for number, wait in enumerate(seconds):
            self.now += wait
            pace.on_train_batch_end(self, None, None, torch.zeros(8), number)
        pace.on_validation_start(self, None)
        self.now += validation
        pace.on_train_epoch_end(self, None)


def test_warm_up_first_batches_and_validation_do_not_count_as_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    pace.on_train_start(clock, None)
    clock.epoch(pace, [9.0, 7.0, 7.0] + [0.5] * 7, validation=11.0)
    clock.epoch(pace, [5.0] + [0.5] * 9, validation=11.0)
    assert pace.images_per_second == pytest.approx(8 * 2 / 0.5), "8 images on each of 2 ranks in half a second"
    assert pace.seconds == clock.now


def test_time_left_is_this_epochs_rest_and_the_others_like_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    assert pace.seconds_left(clock, 0) is None
    pace.on_train_start(clock, None)
    clock.epoch(pace, [0.5] * 10, validation=3.0)
    assert pace.seconds_left(clock, 10) == pytest.approx(3 * 8.0)
    clock.current_epoch = 1
    assert pace.seconds_left(clock, 4) == pytest.approx(6 * 0.5 + 2 * 8.0)
    clock.max_epochs = -1
    assert pace.seconds_left(clock, 4) is None


def test_seconds_go_on_after_a_resume_without_the_break(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, first, second = Clock(monkeypatch), Pace(), Pace()
    first.on_train_start(clock, None)
    clock.epoch(first, [1.0] * 10)
    state = first.state_dict()
    clock.now += 1000.0
    second.load_state_dict(state)
    second.on_train_start(clock, None)
    clock.epoch(second, [1.0] * 10)
    assert second.seconds == 20.0
    assert second.images_per_second == 16.0


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.0, "59 s"), (72.0, "1.2 min"), (12240.0, "3.4 h")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_ranks_other_than_0_show_nothing() -> None:
    progress = Progress("val/acc", Pace(), terminal=True)
    progress.disable()
    assert not progress._shown.due()
