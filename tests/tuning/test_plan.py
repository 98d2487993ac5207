from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.plan import Phase, Tuning, resolve

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


def test_layer_decay_counts_stages_from_the_head_down() -> None:
    factors = plan(Phase("all", layer_decay=0.5, lr={"stem": 0.1})).phases[0].factors
    assert factors["head"] == 1
    assert factors["layer4"] == 0.5
    assert factors["stem"] == pytest.approx(0.1 * 0.5**5)


def test_the_first_of_several_lr_patterns_counts() -> None:
    assert plan(Phase("all", lr={"layer4": 0.3, "layer*": 0.1})).phases[0].factors["layer4"] == 0.3


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([], "phases is empty"),
        ([Phase(["haed"])], "names 'haed'.*did you mean 'head'"),
        ([Phase([])], "train is empty"),
        ([Phase("head")], r"expected 'all' or a list of stages: \[head\]"),
        ([Phase(), Phase()], r"phases\[0\] has no epochs"),
        ([Phase(epochs=0.6), Phase(epochs=0.4), Phase()], "shares .* add up to 1, next to phases without one; .*less"),
        ([Phase(epochs=0.6), Phase(epochs=0.5)], "add up to 1.1; expected at most 1"),
        ([Phase(epochs=0.5), Phase(epochs=9), Phase()], "need 11 epochs, at least 1 each, but .* is 10"),
        ([Phase(epochs=11)], "last 11 epochs, but trainer.max_epochs is 10"),
        ([Phase(epochs=10), Phase()], "10 epochs and one without a length"),
        ([Phase(lr={"layer9": 0.1})], "no stage matches"),
        ("gradually", "tuning.phases must be .*; did you mean 'gradual'"),
    ],
)
def test_a_wrong_plan_is_refused(phases: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolve(Tuning(phases), STAGES, 10)


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


def test_freezing_what_was_never_trained_is_refused() -> None:
    phases = Phase(["head"], epochs=1), Phase("all")
    with pytest.raises(RecipeError, match="freezes 'stem', whose weights are random"):
        plan(*phases, loaded=[])
    plan(*phases, loaded=STAGES[:-1])
    plan(*phases, loaded=[], allow_untrained=True)
    plan(Phase("all", epochs=1), Phase(["head"]), loaded=[])


@pytest.mark.parametrize(
    ("lengths", "epochs", "ends"),
    [
        ([0.1, None], 30, [3, 30]),
        ([0.1, None], 2, [1, 2]),
        ([0.15, 0.2, 0.15, None], 20, [3, 7, 10, 20]),
        ([0.15, 0.2, 0.15, None], 4, [1, 2, 3, 4]),
        ([0.9, None], 3, [2, 3]),  # rounded to 3 epochs, of which the last phase gets one
        ([2, 0.5, None], 8, [2, 6, 8]),
        ([0.5, 3], 5, [2, 5]),
        ([0.5, 0.5], 3, [2, 3]),
    ],
)
def test_shares_of_the_run_are_rounded_to_epochs(lengths: list[Any], epochs: int, ends: list[int]) -> None:
    resolved = plan(*(Phase(epochs=length) for length in lengths), epochs=epochs)
    assert [phase.end for phase in resolved.phases] == ends


@given(st.lists(st.floats(0.01, 0.3) | st.integers(1, 3), max_size=3), st.integers(0, 20))
def test_every_phase_has_an_epoch_whatever_its_share(lengths: list[int | float], more: int) -> None:
    epochs = 1 + more + sum(length if isinstance(length, int) else 1 for length in lengths)
    resolved = plan(*(Phase(epochs=length) for length in lengths), Phase(), epochs=epochs)
    assert all(phase.start < phase.end for phase in resolved.phases)
    assert resolved.phases[-1].end == epochs
    for phase, length in zip(resolved.phases, lengths, strict=False):
        if isinstance(length, int):
            assert phase.end - phase.start == length


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 3))
def test_every_epoch_has_one_phase(lengths: list[int], rest: int) -> None:
    phases = [Phase("all", epochs=length) for length in lengths]
    resolved = plan(*phases, epochs=sum(lengths) + rest)
    seen = [resolved.index_at(epoch) for epoch in range(sum(lengths) + rest)]
    assert seen == sorted(seen)
    assert resolved.phases[-1].end == sum(lengths) + rest


HAVE = {**dict.fromkeys(STAGES, ("norms", "biases")), "head": ["biases"], "layer1": []}


def test_norms_and_biases_of_every_stage_that_has_them() -> None:
    phase = resolve(Tuning([Phase(["norms", "layer4"])]), STAGES, 3, kinds=HAVE).phases[0]
    assert phase.parts == {stage: ["norms"] for stage in ("stem", "layer2", "layer3")}
    assert phase.trained == ["stem", "layer2", "layer3", "layer4"]
    assert phase.frozen == ["layer1", "head"]
    both = resolve(Tuning([Phase(["biases", "norms"])]), STAGES, 3, kinds=HAVE).phases[0].parts
    assert (both["stem"], both["head"]) == (["norms", "biases"], ["biases"])


def test_norms_where_there_are_none_train_nothing() -> None:
    with pytest.raises(RecipeError, match=r"phases\[0\].train names norms, which no stage has"):
        resolve(Tuning([Phase(["norms"])]), STAGES, 3, kinds=dict.fromkeys(STAGES, ("biases",)))


def test_the_rest_of_a_stage_trained_in_part_must_not_be_random() -> None:
    with pytest.raises(RecipeError, match="freezes 'stem', whose weights are random"):
        plan(Phase(["norms", "head"]), loaded=[])
    plan(Phase(["norms", "head"]), loaded=STAGES[:-1])
    with pytest.raises(RecipeError, match=r"phases\[0\] freezes 'layer4'"):
        plan(Phase(["biases", "head"], epochs=1), Phase(["head"]), loaded=STAGES[:4])


def words(word: Any, epochs: int, stages: list[str] = STAGES) -> list[tuple[int, int, list[str]]]:
    resolved = resolve(Tuning(word), stages, epochs)
    return [(phase.start, phase.end, phase.trained) for phase in resolved.phases]


def test_gradual_unfreezes_from_the_head_down_over_half_of_the_run() -> None:
    assert words("gradual", 20) == [
        (0, 2, ["head"]),
        (2, 4, ["layer4", "head"]),
        (4, 6, ["layer3", "layer4", "head"]),
        (6, 8, ["layer2", "layer3", "layer4", "head"]),
        (8, 10, ["layer1", "layer2", "layer3", "layer4", "head"]),
        (10, 20, STAGES),
    ]
    assert words("gradual", 3) == [(0, 1, ["head"]), (1, 2, STAGES[2:]), (2, 3, STAGES)]
    assert words("gradual", 1) == [(0, 1, STAGES)]
    assert words("gradual", 4, ["all"]) == [(0, 4, ["all"])]


@given(st.integers(1, 40), st.integers(1, 8))
def test_gradual_ends_with_everything(epochs: int, count: int) -> None:
    phases = words("gradual", epochs, [f"s{number}" for number in range(count)])
    assert phases[0][0] == 0
    assert phases[-1][1] == epochs
    assert len(phases[-1][2]) == count
    assert all(len(before[2]) < len(after[2]) for before, after in pairwise(phases))


def test_lpft_probes_then_trains_everything_with_a_schedule_each() -> None:
    resolved = resolve(Tuning("lpft"), STAGES, 9)
    assert words("lpft", 9) == [(0, 5, ["head"]), (5, 9, STAGES)]
    assert resolved.schedule_spans() == [(0, 5), (5, 9)]
    assert set(resolved.phases[1].factors.values()) == {0.1}
    with pytest.raises(RecipeError, match="lpft needs at least 2 epochs"):
        words("lpft", 1)


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
