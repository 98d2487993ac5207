"""The phase that a run is in: what it freezes, when it ends, and how it is saved."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from resnet_tl.tuning.phase_state import PhaseState
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.stages import Stages

PHASES = [Phase(["head"], epochs=2), Phase(["layer", "head"], epochs=3, until="plateau", patience=1), Phase()]


def stages() -> Stages:
    return {
        "stem": [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)], "layer": [nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)],
        "head": [nn.Linear(4, 2)],
    }  # fmt: skip


def state(phases: Any = PHASES, epochs: int = 10, **options: Any) -> PhaseState:
    return PhaseState(Tuning(phases, **options), stages(), epochs, nn.Module())


def trained(phases: PhaseState) -> dict[str, bool]:
    return {
        stage: all(parameter.requires_grad for module in modules for parameter in module.parameters())
        for stage, modules in phases.stages.items()
    }


def test_entering_a_phase_freezes_and_unfreezes() -> None:
    phases = state()
    expected = [(False, False, True), (False, True, True), (True, True, True)]
    for index, each in enumerate(expected):
        phases.enter(index)
        assert tuple(trained(phases).values()) == each
        assert [phases.stages[stage][1].training for stage in ("stem", "layer")] == list(each[:2])
    phases.enter(0)
    assert tuple(trained(phases).values()) == expected[0]


@pytest.mark.parametrize(("norm", "training"), [("train", True), ("frozen", False)])
def test_norms_of_trained_stages_follow_the_plan(norm: Any, training: bool) -> None:
    phases = state([Phase()], norm=norm)
    phases.enter(0)
    assert phases.stages["layer"][1].training == training
    assert phases.stages["layer"][0].training


def test_a_stalled_phase_ends_and_the_later_ones_start_earlier() -> None:
    phases = state()
    assert [phases.index_at(epoch) for epoch in (0, 1, 2)] == [0, 0, 1]
    phases.enter(1)
    assert phases.plateau is not None
    assert not phases.stalled
    phases.plateau.update(1.0)
    phases.plateau.update(2.0)
    assert phases.stalled
    assert phases.index_at(3) == 2
    assert [(phase.start, phase.end) for phase in phases.plan.phases] == [(0, 2), (2, 3), (3, 10)]
    phases.enter(2)
    assert phases.in_last_phase
    assert not phases.stalled


def test_a_saved_state_restores_phase_starts_and_patience() -> None:
    phases = state()
    phases.enter(1)
    assert phases.plateau is not None
    phases.plateau.update(1.0)
    saved = phases.state_dict()
    assert saved["starts"] == [0, 2]
    restored = state()
    restored.load_state_dict(saved)
    assert restored.index == 1
    assert trained(restored) == trained(phases)
    assert restored.plateau is not None
    restored.plateau.update(2.0)
    assert restored.stalled


def test_phases_that_have_started_keep_their_start_in_a_longer_run() -> None:
    shares = [Phase(["head"], epochs=0.2), Phase(["layer", "head"], epochs=0.3), Phase()]
    phases = state(shares)
    phases.enter(1)
    longer = state(shares, epochs=20)
    longer.load_state_dict(phases.state_dict())
    assert [(phase.start, phase.end) for phase in longer.plan.phases] == [(0, 2), (2, 8), (8, 20)]


def test_schedules_to_come() -> None:
    restarting = [Phase(["head"], epochs=2), Phase(["layer", "head"], epochs=3, restart=True), Phase(restart=True)]
    phases = state(restarting)
    for index, spans in enumerate([[(0, 2), (2, 5), (5, 10)], [(2, 5), (5, 10)], [(5, 10)]]):
        phases.enter(index)
        assert phases.schedule_spans() == spans
    single = state()
    single.enter(0)
    assert single.schedule_spans() == []
