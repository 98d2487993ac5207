"""Plans as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_tl.errors import DataError, RecipeError
from resnet_tl.run.plan import find_lr, plan_text


def test_a_plan_names_stages_phases_rates_and_bits_overlay(here: Path, images: Path) -> None:
    values = {"data.root": images, "model.tuning.phases": "lpft", "model.tuning.allow_untrained": True}
    *table, _, split, _, rule = plan_text(["photos.yaml"], values.items()).splitlines()
    assert table[0].split()[:2] == ["stage", "parameters"]
    assert {line.split()[0] for line in table[1:] if line} >= {"stem", "layer1", "head", "compute"}
    assert "frozen" in next(line for line in table if line.startswith("stem"))
    assert split == f"{images}: 12 train, 8 val; no test split: val is used"
    assert rule == "BiT's rule for 12 training images: -c overlays/bit_small"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("max_epochs", None, "trainer.max_epochs is not set; expected the number of epochs"),
        ("max_epochs", -1, "max_epochs must be int >= 1"),
        ("max_steps", 0, "max_steps must be int >= 1 or -1"),
        ("limit_train_batches", 0, "limit_train_batches must be int >= 1 or float in"),
        ("min_epochs", 50, "trainer.min_epochs is 50, but max_epochs is 3"),
        ("max_time", "soon", "trainer.max_time is soon; expected days:hours:minutes:seconds"),
        ("max_time", {"seconds": -5}, "trainer.max_time is .*; expected days"),
        ("max_time", {"lightyears": 1}, "trainer.max_time is .*; expected days"),
        ("max_time", -1, "trainer.max_time is -1.0; expected days"),
        ("max_time", 1e300, r"trainer.max_time is 1e\+300; expected days"),
        ("val_check_interval", ".nan", "trainer.val_check_interval is .nan; expected a number of batches, a share of"),
        ("val_check_interval", "-1", "trainer.val_check_interval is -1; expected a number of batches"),
        ("val_check_interval", {"hours": 0}, "trainer.val_check_interval is .*; expected a number of batches"),
    ],
)
def test_a_run_has_a_length(here: Path, images: Path, key: str, value: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plan_text(["photos.yaml"], [("data.root", images), ("trainer.max_epochs", 3), (f"trainer.{key}", value)])


@pytest.mark.parametrize("devices", ["foo", "0", "[]", "1.5", "-2"])
def test_devices_that_nothing_takes_are_refused(here: Path, images: Path, devices: str) -> None:
    with pytest.raises(RecipeError, match=r"trainer.devices (is .*; expected how many|must be)"):
        plan_text(["photos.yaml"], [("data.root", images), ("trainer.devices", devices)])


@pytest.mark.parametrize("devices", ["auto", "-1", "2", "[0, 2]", "0,2", "1,"])
def test_devices_that_lightning_takes_are_planned_for(here: Path, images: Path, devices: str) -> None:
    plan_text(["photos.yaml"], [("data.root", images), ("trainer.devices", devices)])


def trainer_values(values: dict[str, object]) -> list[tuple[str, object]]:
    return [(f"trainer.{key}", value) for key, value in values.items()]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"accelerator": "tpuu"}, "trainer.accelerator is 'tpuu'; expected auto, cpu, .*; did you mean 'tpu'"),
        ({"strategy": "foo"}, "trainer.strategy is 'foo'; expected auto, ddp, fsdp2, another of Lightning's, or"),
        ({"strategy": "ddp_spawn"}, "trainer.strategy is ddp_spawn, which pickles the run .*; expected ddp"),
        ({"accelerator": "cpu", "devices": [0, 1]}, "trainer.devices is .0, 1., but trainer.accelerator is cpu; "),
        ({"accelerator": "cpu", "devices": -1}, "trainer.devices is -1, but trainer.accelerator is cpu; expected how"),
        ({"limit_train_batches": 0.1}, "limit_train_batches is 0.1, less than one batch of 3; .* a share from 0.334"),
        ({"limit_val_batches": 0.1}, "limit_val_batches is 0.1, less than one batch of 2; .* a share from 0.5"),
        ({"val_check_interval": 4}, "val_check_interval is 4, but an epoch has 3 batches; .* check_val_every_n_epoch"),
        ({"val_check_interval": 2, "limit_train_batches": 0.5}, "val_check_interval is 2, but an epoch has 1 batch"),
    ],
)
def test_what_no_machine_trains_with_is_refused(
    here: Path, images: Path, values: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        plan_text(
            ["photos.yaml"], [("data.root", images), *((f"trainer.{key}", value) for key, value in values.items())]
        )


def test_devices_of_another_machine_and_validation_across_epochs_are_planned_for(here: Path, images: Path) -> None:
    elsewhere = {"accelerator": "cuda", "devices": [0, 1], "strategy": "DDP"}
    rare = {"val_check_interval": 5, "check_val_every_n_epoch": None, "limit_train_batches": 0.5}
    for values in (elsewhere, rare, {"val_check_interval": 5, "limit_val_batches": 0}):
        plan_text(
            ["photos.yaml"], [("data.root", images), *((f"trainer.{key}", value) for key, value in values.items())]
        )


def test_data_that_the_task_cannot_train_on_are_refused(here: Path, images: Path) -> None:
    with pytest.raises(RecipeError, match=r"the data has one label per image; set model\.head\.multi_label: false"):
        plan_text(["photos.yaml"], [("data.root", images), ("model.head.multi_label", True)])
    with pytest.raises(DataError, match="has no images in a split train; it has val only"):
        plan_text(["photos.yaml"], [("data.root", f"{images}/train"), ("data.val_fraction", 1)])


def test_the_global_batch_stays_the_same(here: Path, images: Path) -> None:
    (here / "more.yaml").write_text(
        "trainer: {callbacks: [{class_path: GradientAccumulationScheduler, init_args: {scheduling: {0: 2, 1: 1}}}]}"
    )
    with pytest.raises(RecipeError, match=r"more\.yaml:1: trainer\.callbacks has a GradientAccumulationScheduler, but"):
        plan_text(["photos.yaml", "more.yaml"], [("data.root", images)])


@pytest.mark.parametrize(
    ("key", "value"), [("max_time", "00:00:10:00"), ("max_time", 600), ("val_check_interval", "00:00:10:00")]
)
def test_a_run_may_end_or_validate_by_the_clock(here: Path, images: Path, key: str, value: object) -> None:
    plan_text(["photos.yaml"], [("data.root", images), (f"trainer.{key}", value)])


def test_a_solver_has_no_rate_and_needs_a_linear_head(here: Path, images: Path) -> None:
    solved = [("data.root", images), ("model.tuning.phases", "[{train: [head], solver: lbfgs}, {train: all}]")]
    solved += [("model.tuning.allow_untrained", True)]
    assert "solved" in plan_text(["photos.yaml"], solved)
    with pytest.raises(RecipeError, match="--phase 0: its head is solved, which takes no rate; choose another phase"):
        find_lr(["photos.yaml"], solved, 0)
    with pytest.raises(RecipeError, match=r"phases\[0\]\.solver needs a head that is one linear classifier"):
        plan_text(["photos.yaml"], [*solved, ("model.head", "MLPHead")])


def test_rates_are_tried_in_a_phase_that_exists(here: Path, images: Path) -> None:
    with pytest.raises(RecipeError, match="--phase -1: the plan has 1 phases, counted from 0"):
        find_lr(["photos.yaml"], [("data.root", images)], -1)
    lines = find_lr(["photos.yaml"], [("data.root", images)], 0).splitlines()
    rates = [float(line.split()[0]) for line in lines[1:-2]]
    assert rates == sorted(rates)
    assert lines[-1].startswith("the loss falls fastest at --model.optimizer.lr ")
