"""Phases and plans: which epochs they cover, and what they train."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.resolve import resolve

STAGES = ["stem", "layer1", "layer2", "layer3", "layer4", "head"]


def plan(*phases: Phase, epochs: int = 10, loaded: list[str] | None = None, **options):
    return resolve(Tuning(list(phases), **options), STAGES, epochs, loaded)


def test_phases_cover_the_run() -> None:
    resolved = plan(Phase(["head"], epochs=2), Phase(["layer4", "head"], epochs=3), Phase("all"))
    assert [(s.start, s.end) for s in resolved.phases] == [(0, 2), (2, 5), (5, 10)]
    assert [resolved.index_at(epoch) for epoch in range(11)] == [0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2]


def test_frozen_and_trained() -> None:
    phase = plan(Phase(["layer*", "head"])).phases[0]
    assert phase.frozen == ["stem"]
    assert phase.trained == STAGES[1:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"phase.epochs must be int >= 1 or float in \(0, 1\) or null, got 0"),
        ({"epochs": 1.0}, r"phase.epochs must be int >= 1 or float in \(0, 1\) or null, got 1.0"),
        ({"epochs": -0.2}, "got -0.2"),
        ({"epochs": math.nan}, "got nan"),
        ({"lr": {"head": 0.0}}, "phase.lr must be a mapping to float > 0"),
        ({"layer_decay": 0.0}, r"phase.layer_decay must be float in \(0, 10\], got 0.0"),
        ({"until": "plateau", "patience": 0}, "phase.patience must be int >= 1, got 0"),
    ],
)
def test_a_value_outside_its_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Phase(**options)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 3))
def test_every_epoch_has_one_phase(lengths: list[int], rest: int) -> None:
    phases = [Phase("all", epochs=length) for length in lengths]
    resolved = plan(*phases, epochs=sum(lengths) + rest)
    seen = [resolved.index_at(epoch) for epoch in range(sum(lengths) + rest)]
    assert seen == sorted(seen)
    assert resolved.phases[-1].end == sum(lengths) + rest


def test_a_phase_that_starts_earlier_moves_the_later_ones_up() -> None:
    resolved = plan(Phase(["head"], epochs=4), Phase(["layer4", "head"], epochs=3, restart=True), Phase("all"))
    moved = resolved.with_start(0, 0).with_start(1, 2)
    assert [(s.start, s.end) for s in moved.phases] == [(0, 2), (2, 5), (5, 10)]
    assert moved.schedule_spans() == [(0, 2), (2, 10)]
    assert [(s.start, s.end) for s in moved.with_start(2, 3).phases] == [(0, 2), (2, 3), (3, 10)]


def test_a_schedule_spans_the_phases_up_to_the_next_restart() -> None:
    assert plan(Phase(epochs=2), Phase(epochs=3), Phase()).schedule_spans() == [(0, 10)]
    assert plan(Phase(epochs=2, restart=True), Phase(epochs=3), Phase(restart=True)).schedule_spans() == [
        (0, 5),
        (5, 10),
    ]


def test_a_skipped_phase_counts_nowhere() -> None:
    """It neither trains a stage that is frozen later, nor unfreezes one, nor restarts the schedule."""
    phases = [Phase(["head"], epochs=0.2), Phase(["layer4", "head"], epochs=0.2, restart=True), Phase(["head"])]
    short = resolve(Tuning(phases), STAGES, 2)
    assert [(phase.start, phase.end) for phase in short.phases] == [(0, 0), (0, 1), (1, 2)]
    assert short.index_at(0) == 1
    assert short.schedule_spans() == [(0, 2)]
    assert not short.unfreezes()
    with pytest.raises(RecipeError, match=r"phases\[2\] freezes 'stem'"):
        resolve(Tuning([Phase(epochs=0.2), Phase(["layer4"], epochs=0.2), Phase(["layer4", "head"])]), STAGES, 1, [])
