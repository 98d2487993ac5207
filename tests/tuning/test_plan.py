from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.plan import Phase, Tuning, resolve
from resnet_tl.tuning.table import table

STAGES = ["stem", "layer1", "layer2", "layer3", "layer4", "head"]


def plan(*phases: Phase, epochs: int = 10, loaded: list[str] | None = None, **options):
    return resolve(Tuning(list(phases), **options), STAGES, epochs, loaded)


def test_phases_cover_the_run() -> None:
    resolved = plan(Phase(["head"], epochs=2), Phase(["layer4", "head"], epochs=3), Phase("all"))
    assert [(s.start, s.end) for s in resolved.stretches] == [(0, 2), (2, 5), (5, 10)]
    assert [resolved.phase(epoch) for epoch in range(11)] == [0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2]


def test_frozen_and_trained() -> None:
    stretch = plan(Phase(["layer*", "head"])).stretches[0]
    assert stretch.frozen == ["stem"]
    assert stretch.trained == STAGES[1:]


def test_layer_decay_counts_stages_from_the_head_down() -> None:
    factors = plan(Phase("all", layer_decay=0.5, lr={"stem": 0.1})).stretches[0].factors
    assert factors["head"] == 1
    assert factors["layer4"] == 0.5
    assert factors["stem"] == pytest.approx(0.1 * 0.5**5)


def test_of_several_lr_patterns_the_first_counts() -> None:
    assert plan(Phase("all", lr={"layer4": 0.3, "layer*": 0.1})).stretches[0].factors["layer4"] == 0.3


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([], "phases is empty"),
        ([Phase(["haed"])], "names 'haed'.*did you mean 'head'"),
        ([Phase([])], "train is empty"),
        ([Phase("head")], r"expected 'all' or a list of stages: \[head\]"),
        ([Phase(), Phase()], r"phases\[0\] has no epochs"),
        ([Phase(epochs=0)], "at least 1"),
        ([Phase(epochs=11)], "last 11 epochs, but trainer.max_epochs is 10"),
        ([Phase(epochs=10), Phase()], "10 epochs and one without a length"),
        ([Phase(lr={"layer9": 0.1})], "no stage matches"),
        ([Phase(lr={"head": 0.0})], "above 0"),
        ([Phase(layer_decay=0.0)], "above 0"),
    ],
)
def test_a_wrong_plan_is_refused(phases: list[Phase], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plan(*phases)


def test_freezing_what_was_never_trained_is_refused() -> None:
    phases = Phase(["head"], epochs=1), Phase("all")
    with pytest.raises(RecipeError, match="freezes 'stem', whose weights are random"):
        plan(*phases, loaded=[])
    plan(*phases, loaded=STAGES[:-1])
    plan(*phases, loaded=[], allow_untrained=True)
    plan(Phase("all", epochs=1), Phase(["head"]), loaded=[])


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 3))
def test_every_epoch_has_one_phase(lengths: list[int], rest: int) -> None:
    phases = [Phase("all", epochs=length) for length in lengths]
    resolved = plan(*phases, epochs=sum(lengths) + rest)
    seen = [resolved.phase(epoch) for epoch in range(sum(lengths) + rest)]
    assert seen == sorted(seen)
    assert resolved.stretches[-1].end == sum(lengths) + rest


def test_the_table_shows_every_stage_and_phase() -> None:
    resolved = plan(Phase(["head"], epochs=1), Phase("all", layer_decay=0.5))
    lines = table(resolved, dict.fromkeys(STAGES, 1000)).splitlines()
    assert len(lines) == 1 + len(STAGES)
    assert "epoch 0" in lines[0]
    assert "epochs 1-9" in lines[0]
    assert "frozen" in lines[1]
    assert "lr x 0.03125" in lines[1]
