from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.rates import (
    Optimizer,
    Schedule,
    bit_rule,
    build_optimizer,
    parameter_groups,
    schedule_factor,
    staircase,
    warmup_steps,
)


def test_norms_and_biases_are_not_decayed() -> None:
    stages = {"stem": [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)], "head": [nn.Linear(4, 2)]}
    groups = parameter_groups(stages, 0.1)
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert [group["stage"] for group in groups] == ["stem", "stem", "head", "head"]
    for module in (*stages["stem"], *stages["head"]):
        assert decay[id(module.bias)] == 0
    assert decay[id(stages["stem"][0].weight)] == decay[id(stages["head"][0].weight)] == 0.1
    assert decay[id(stages["stem"][1].weight)] == 0


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_torch_optimizers(name: str, kind: type) -> None:
    optimizer = build_optimizer(Optimizer(name, lr=0.3), parameter_groups({"head": [nn.Linear(2, 2)]}, 0.1))
    assert isinstance(optimizer, kind)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert all(group["lr"] == 0.3 for group in optimizer.param_groups)


def test_timm_optimizers_by_name() -> None:
    optimizer = build_optimizer(Optimizer("lamb", lr=0.3), parameter_groups({"head": [nn.Linear(2, 2)]}, 0.1))
    assert type(optimizer).__name__ == "Lamb"
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert [group["stage"] for group in optimizer.param_groups] == ["head", "head"]


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (Optimizer("adamm"), "did you mean 'adam"),
        (Optimizer("adamw", options={"beta": 1}), "rejects its arguments"),
        (Optimizer("sgd", options={"momentum": -1}), "rejects its arguments"),
    ],
)
def test_a_wrong_optimizer_is_refused(optimizer: Optimizer, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_optimizer(optimizer, parameter_groups({"head": [nn.Linear(2, 2)]}, 0.1))


@pytest.mark.parametrize("options", [{"lr": 0}, {"momentum": -1}, {"weight_decay": math.nan}])
def test_a_value_outside_its_range_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=f"^optimizer.{next(iter(options))} must be float"):
        Optimizer(**options)  # type: ignore[arg-type]


def test_cosine_with_warm_up_is_the_closed_form() -> None:
    factor = schedule_factor(Schedule("cosine", warmup_epochs=2), 100, 10)
    assert factor(0) == pytest.approx(1 / 21)
    assert factor(19) == pytest.approx(20 / 21)
    for step in range(20, 100):
        assert factor(step) == pytest.approx((1 + math.cos(math.pi * (step - 20) / 80)) / 2, abs=1e-12)


def test_step_poly_constant_one_cycle() -> None:
    step = schedule_factor(Schedule("step", milestones=[3, 6], gamma=0.1), 100, 10)
    assert [step(s) for s in (0, 29, 30, 59, 60)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert schedule_factor(Schedule("poly", power=0.9), 100, 10)(50) == pytest.approx(0.5**0.9)
    assert schedule_factor(Schedule("constant"), 100, 10)(77) == 1
    cycle = [schedule_factor(Schedule("one-cycle"), 100, 10)(s) for s in range(101)]
    assert cycle[0] == pytest.approx(1 / 25)
    assert max(cycle) == cycle[30] == 1
    assert cycle[-1] == pytest.approx(0, abs=1e-12)


@given(
    st.sampled_from(["constant", "cosine", "poly", "step", "one-cycle"]),
    st.integers(1, 500),
    st.floats(0, 0.9),
)
def test_factors_lie_between_0_and_1(name: str, steps: int, share: float) -> None:
    warmup = min(share * steps / 10, (steps - 1) / 10)
    schedule = Schedule(name, warmup_epochs=warmup, milestones=[1, 2])  # type: ignore[arg-type]
    factor = schedule_factor(schedule, steps, 10)
    assert all(0 <= factor(step) <= 1 for step in range(steps + 1))


@pytest.mark.parametrize(("epochs", "steps"), [(9.9, 99), (10, 50), (30, 50), (0, 0)])
def test_a_warm_up_that_leaves_the_schedule_no_step_takes_half_of_it(epochs: float, steps: int) -> None:
    schedule = Schedule("constant", warmup_epochs=epochs)
    assert warmup_steps(schedule, 100, 10) == (steps, round(epochs * 10))
    factor = schedule_factor(schedule, 100, 10)
    assert [step for step in range(100) if factor(step) < 1] == list(range(steps))


def test_a_schedule_of_one_step_has_no_warm_up() -> None:
    assert schedule_factor(Schedule(warmup_epochs=1), 1, 1)(0) == 1


def test_the_staircase_is_bits() -> None:
    factor = staircase(500, [100, 200, 300, 400])
    assert [factor(step) for step in (0, 50, 100, 200, 201, 301, 401)] == pytest.approx(
        [0, 0.5, 1, 1, 0.1, 0.01, 0.001]
    )


def test_bits_rule_depends_on_the_number_of_images() -> None:
    sizes = {0: "small", 19_999: "small", 20_000: "medium", 499_999: "medium", 500_000: "large"}
    assert {count: bit_rule(count) for count in sizes} == {count: f"bit_{size}" for count, size in sizes.items()}
