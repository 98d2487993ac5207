from __future__ import annotations

import time

import pytest
import torch
from lightning.pytorch.callbacks import Timer

from resnet_tl.tracking.pace import Pace, duration


class Clock:
    """A trainer's surroundings for `Pace`, with a time of our own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.max_epochs, self.current_epoch, self.num_training_batches, self.world_size = 4, 0, 10, 2
        self.max_steps, self.global_step, self.accumulate_grad_batches, self.should_stop = -1, 0, 1, False
        self.callbacks: list[Timer] = []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def epoch(self, pace: Pace, seconds: list[float], validation: float = 0.0) -> None:
        pace.on_train_epoch_start(self, None)
        for number, wait in enumerate(seconds):
            self.now += wait
            pace.on_train_batch_end(self, None, None, torch.zeros(8), number)
        pace.on_validation_start(self, None)
        self.now += validation
        pace.on_train_epoch_end(self, None)

    def steps(self, pace: Pace) -> None:
        """An epoch of ten steps, each of which waits for a second and takes three."""
        pace.on_train_epoch_start(self, None)
        for number in range(10):
            self.now += 1.0
            pace.on_train_batch_start(self, None, None, number)
            self.now += 3.0
            pace.on_train_batch_end(self, None, None, torch.zeros(8), number)


def test_warm_up_first_batches_and_validation_do_not_count_as_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    pace.on_train_start(clock, None)
    clock.epoch(pace, [9.0, 7.0, 7.0] + [0.5] * 7, validation=11.0)
    clock.epoch(pace, [5.0] + [0.5] * 9, validation=11.0)
    assert pace.images_per_second == pytest.approx(8 * 2 / 0.5), "8 images on each of 2 ranks in half a second"
    assert pace.seconds == clock.now


def test_an_epochs_speed_is_its_own_and_what_is_left_takes_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    pace.on_train_start(clock, None)
    clock.epoch(pace, [0.5] * 10, validation=3.0)
    clock.current_epoch = 1
    clock.epoch(pace, [2.0] * 10, validation=3.0)
    assert pace.of_epoch.images / pace.of_epoch.seconds == pytest.approx(8.0)
    assert pace.images_per_second == pytest.approx(16 * 16 / (7 * 0.5 + 9 * 2.0)), "of the run"
    assert pace.seconds_left(clock, 10) == pytest.approx(2 * (10 * 2.0 + 3.0))
    pace.on_train_epoch_start(clock, None)
    assert pace.of_epoch.batches == 0
    resumed = Pace()
    resumed.load_state_dict(pace.state_dict())
    resumed.on_train_start(clock, None)
    assert resumed.of_epoch.batches == 0


def test_waiting_is_the_time_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    assert pace.waiting == 0
    pace.on_train_start(clock, None)
    clock.steps(pace)
    assert pace.waiting == pytest.approx(0.25)
    resumed = Pace()
    resumed.load_state_dict(pace.state_dict())
    assert resumed.waiting == pace.waiting
    resumed.load_state_dict({"images": 8, "seconds": 2.0, "batches": 1, "run": 3.0})
    assert resumed.waiting == 0, "a checkpoint of an earlier version"


def test_the_time_is_shared_out_also_after_a_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    assert pace.shares(0.0) == {}
    pace.on_train_start(clock, None)
    clock.sanity_checking = False
    for epoch in range(2):
        if epoch:
            state = pace.state_dict()
            pace = Pace()
            pace.load_state_dict(state)
            pace.on_train_start(clock, None)
        clock.steps(pace)
        clock.now += 2.0
        pace.on_validation_start(clock, None)
        clock.now += 8.0
        pace.on_validation_end(clock, None)
    assert pace.shares(5.0) == {
        "training": pytest.approx(60 / 100),
        "waiting for data": pytest.approx(20 / 100),
        "validation": pytest.approx(16 / 100),
        "checkpoints": pytest.approx(5 / 100),
    }


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


def test_time_left_ends_at_max_steps_max_time_and_where_the_run_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    pace.on_train_start(clock, None)
    clock.epoch(pace, [0.5] * 10, validation=3.0)
    clock.current_epoch, clock.accumulate_grad_batches = 1, 2
    clock.global_step, clock.max_steps = 7, 9
    assert pace.seconds_left(clock, 4) == pytest.approx(4 * 0.5), "two steps of two batches in this epoch"
    clock.max_steps = 15
    assert pace.seconds_left(clock, 4) == pytest.approx(6 * 0.5 + 8.0), "ten batches of the next"
    timer = Timer(duration={"seconds": 7})
    clock.callbacks.append(timer)
    timer.on_train_start(clock, None)
    clock.now += 2.0
    assert pace.seconds_left(clock, 4) == pytest.approx(5.0)
    clock.should_stop = True
    assert pace.seconds_left(clock, 4) == 0


def test_seconds_continue_after_a_resume_without_the_break(monkeypatch: pytest.MonkeyPatch) -> None:
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
