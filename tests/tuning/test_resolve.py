"""A recipe's `tuning` resolved against stages and epochs."""

from __future__ import annotations

from itertools import pairwise
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
        ([Phase(lr={"layer9": 0.1})], "no stage matches"),
        ("gradually", "tuning.phases must be .*; did you mean 'gradual'"),
    ],
)
def test_a_wrong_plan_is_refused(phases: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolve(Tuning(phases), STAGES, 10)


def test_freezing_what_was_never_trained_is_refused() -> None:
    phases = Phase(["head"], epochs=1), Phase("all")
    with pytest.raises(RecipeError, match="freezes 'stem', whose weights are random"):
        plan(*phases, loaded=[])
    plan(*phases, loaded=STAGES[:-1])
    plan(*phases, loaded=[], allow_untrained=True)
    plan(Phase("all", epochs=1), Phase(["head"]), loaded=[])


HAVE = {**dict.fromkeys(STAGES, ("norms", "biases")), "head": ["biases"], "layer1": []}


def test_norms_and_biases_of_every_stage_that_has_them() -> None:
    phase = resolve(Tuning([Phase(["norms", "layer4"])]), STAGES, 3, kinds=HAVE).phases[0]
    assert phase.parts == {stage: ["norms"] for stage in ("stem", "layer2", "layer3")}
    assert phase.trained == ["stem", "layer2", "layer3", "layer4"]
    assert phase.frozen == ["layer1", "head"]
    both = resolve(Tuning([Phase(["biases", "norms"])]), STAGES, 3, kinds=HAVE).phases[0].parts
    assert (both["stem"], both["head"]) == (["norms", "biases"], ["biases"])


def test_a_kind_that_no_stage_has_is_refused_next_to_others() -> None:
    with pytest.raises(RecipeError, match=r"names adapters, which no stage has \(backbone.adapters: true adds them\)"):
        resolve(Tuning([Phase(["adapters", "norms", "head"])]), STAGES, 3, kinds=HAVE)


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


def test_lpft_from_a_solved_head() -> None:
    resolved = resolve(Tuning("lpft_solved"), STAGES, 9, STAGES[:-1])
    assert words("lpft_solved", 9) == [(0, 1, ["head"]), (1, 9, STAGES)]
    assert resolved.schedule_spans() == [(0, 1), (1, 9)]
    assert not any(resolved.phases[0].stepped.values())
    assert resolved.phases[1].stepped == resolved.phases[1].factors
    with pytest.raises(RecipeError, match=r"last 1 epochs and one without a length, but trainer\.max_epochs is 1"):
        words("lpft_solved", 1)


def test_fixres_ends_with_head_and_last_norm() -> None:
    have = dict.fromkeys(STAGES, ("norms", "last_norm", "biases")) | {"head": ["biases"]}
    first, last = resolve(Tuning("fixres"), STAGES, 20, STAGES[:-1], kinds=have).phases
    assert (first.start, first.end, last.start, last.end) == (0, 18, 18, 20)
    assert (first.trained, last.trained) == (STAGES, ["layer4", "head"])
    assert last.parts == {"layer4": ["last_norm"]}
    assert first.settings.image_size == 176 / 224
    assert not last.settings.augment
    assert words("fixres", 2) == [(0, 1, STAGES), (1, 2, ["head"])]
    with pytest.raises(RecipeError, match="fixres needs at least 2 epochs"):
        words("fixres", 1)


def test_the_last_norm_is_that_of_the_network() -> None:
    have = dict.fromkeys(STAGES[:4], ("norms", "last_norm")) | {"layer4": [], "head": ["biases"]}
    assert resolve(Tuning([Phase(["last_norm"])]), STAGES, 2, kinds=have).phases[0].parts == {"layer3": ["last_norm"]}
    whole = resolve(Tuning([Phase(["last_norm", "layer3", "head"])]), STAGES, 2, kinds=have).phases[0]
    assert (whole.parts, whole.trained) == ({}, ["layer3", "head"])
    both = resolve(Tuning([Phase(["last_norm", "norms"])]), STAGES, 2, kinds=have).phases[0]
    assert (both.parts["layer2"], both.parts["layer3"]) == (["norms"], ["norms", "last_norm"])
    with pytest.raises(RecipeError, match="names last_norm, which no stage has"):
        resolve(Tuning([Phase(["last_norm"])]), STAGES, 2, kinds=dict.fromkeys(STAGES, ("biases",)))


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        (
            Phase(solver="lbfgs"),
            r"phases\[0\]\.solver is lbfgs, which solves 'head' alone, but train names stem, .*\[head\]$",
        ),
        (Phase(["layer4"], solver="lbfgs"), "but train names layer4; expected"),
        (Phase(["head"], solver="lbfgs", lr={"head": 2.0}), r"\.lr is for phases of steps, but this one has a solver"),
        (Phase(["head"], solver="lbfgs", until="plateau"), r"\.until is for phases of steps"),
        (Phase(["head"], solver="lbfgs", image_size=64), r"\.image_size is for phases of steps"),
        (Phase(["head"], solver="lbfgs", augment=False), r"\.augment is for phases of steps"),
    ],
)
def test_a_solver_does_nothing_else(phase: Phase, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolve(Tuning([phase]), STAGES, 1)


def test_a_mode_without_compiling_is_refused() -> None:
    message = r"^tuning\.compile_mode is max-autotune, but compile: off compiles nothing; set it to frozen or all$"
    with pytest.raises(RecipeError, match=message):
        resolve(Tuning(compile_mode="max-autotune"), ["stem", "head"], 1)
    assert resolve(Tuning(compile="frozen", compile_mode="max-autotune"), ["stem", "head"], 1).phases


@pytest.mark.parametrize("option", [{"patience": 5}, {"monitor": "val/acc"}, {"restore_best": True}])
def test_what_only_a_plateau_reads_is_refused_without_one(option: dict[str, Any]) -> None:
    message = (
        rf"^tuning\.phases\[1\]\.{next(iter(option))} is of until: plateau, but until is epochs; set that, or omit it$"
    )
    with pytest.raises(RecipeError, match=message):
        resolve(Tuning([Phase(["head"], epochs=1), Phase(**option)]), ["stem", "head"], 2)
    assert resolve(Tuning([Phase(until="plateau", **option)]), ["stem", "head"], 2).phases
