"""How a run's network is wrapped on several ranks; that their weights are right is in tests/tuning/test_ranks.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer
from lightning.pytorch.strategies import DDPStrategy

from resnet_tl.errors import RecipeError
from resnet_tl.lightning_internals import ddp_options
from resnet_tl.run.build import compose
from resnet_tl.run.ddp import check_strategy, configure_ddp, is_static
from resnet_tl.run.plan import plan_text


def trainer(devices: int = 2, **options: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(accelerator="cpu", devices=devices, **{**quiet, **options})


PLAIN = {"compiled": False, "redoes": False}


@pytest.mark.parametrize("strategy", ["auto", "ddp", DDPStrategy()])
def test_several_devices_share_buckets_and_a_static_graph(strategy: Any) -> None:
    made = trainer(strategy=strategy)
    assert configure_ddp(made, **PLAIN) == "2 ranks by DDP (bucket views, static graph)"
    options: Any = made.strategy
    assert ddp_options(options) == {"gradient_as_bucket_view": True, "static_graph": True}


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate_grad_batches": 2},
        {"strategy": "ddp_find_unused_parameters_true"},
        {"strategy": DDPStrategy(static_graph=False)},
    ],
)
def test_what_rules_a_static_graph_out(options: dict[str, Any]) -> None:
    assert configure_ddp(trainer(**options), **PLAIN) == "2 ranks by DDP (bucket views, no static graph)"


def test_a_strategy_of_the_recipe_keeps_its_options() -> None:
    made = trainer(strategy=DDPStrategy(static_graph=True, gradient_as_bucket_view=False))
    assert configure_ddp(made, compiled=True, redoes=True) == "2 ranks by DDP (no bucket views, static graph)"


def test_one_device_is_not_wrapped() -> None:
    assert configure_ddp(trainer(devices=1), **PLAIN) == ""


@pytest.mark.parametrize("reason", ["accumulates", "searches", "compiled", "redoes"])
def test_a_graph_is_static_without_any_of_these(reason: str) -> None:
    reasons = dict.fromkeys(("accumulates", "searches", "compiled", "redoes"), False)
    assert is_static(**reasons)
    assert not is_static(**{**reasons, reason: True})


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        ("fsdp", "fsdp"),
        ("deepspeed_stage_2", "deepspeed_stage_2"),
        ("{class_path: lightning.pytorch.strategies.ModelParallelStrategy}", "ModelParallelStrategy"),
    ],
)
def test_strategies_that_shard_parameters_are_refused(here: Path, images: Path, strategy: str, name: str) -> None:
    with pytest.raises(RecipeError, match=f"trainer.strategy is {name}, which shards parameters"):
        plan_text(["photos.yaml"], [("data.root", images), ("trainer.strategy", strategy)])


def test_the_class_behind_fsdp2_is_refused(here: Path, images: Path) -> None:
    path = "{class_path: resnet_tl.tasks.sharded_head.ShardedHead, init_args: {timeout: null}}"
    with pytest.raises(RecipeError, match=r"trainer\.strategy is ShardedHead; expected fsdp2"):
        plan_text(["photos.yaml"], [("data.root", images), ("trainer.strategy", path)])


@pytest.mark.parametrize("strategy", ["auto", "ddp_find_unused_parameters_true", "{class_path: DDPStrategy}"])
def test_others_are_not(here: Path, images: Path, strategy: str) -> None:
    check_strategy(
        compose(["photos.yaml"], [("data.root", images), ("trainer.strategy", strategy)])["trainer"]["strategy"]
    )
