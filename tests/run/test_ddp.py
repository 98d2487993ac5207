"""How a run's network is wrapped on several ranks; that their weights are right is in tests/tuning/test_ranks.py."""

from __future__ import annotations

from typing import Any

import pytest
from lightning import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.strategies import DDPStrategy

from resnet_tl.lightning_internals import ddp_options
from resnet_tl.run.ddp import configure_ddp, static_graph_obstacle
from resnet_tl.tuning.plan import Tuning


def trainer(devices: int = 2, **options: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(accelerator="cpu", devices=devices, **{**quiet, **options})


@pytest.mark.parametrize("strategy", ["auto", "ddp", DDPStrategy()])
def test_several_devices_share_buckets_and_a_static_graph(strategy: Any) -> None:
    made = trainer(strategy=strategy)
    assert configure_ddp(made, Tuning()) == "2 ranks by DDP (gradients as bucket views, static graph)"
    options: Any = made.strategy
    assert ddp_options(options) == {"gradient_as_bucket_view": True, "static_graph": True}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"accumulate_grad_batches": 2}, "(gradients as bucket views, no static graph (gradients are accumulated))"),
        (
            {"callbacks": [GradientAccumulationScheduler({2: 4})]},
            "(gradients as bucket views, no static graph (gradients are accumulated))",
        ),
        (
            {"strategy": "ddp_find_unused_parameters_true"},
            "(gradients as bucket views, no static graph (the strategy looks for unused parameters))",
        ),
        (
            {"strategy": DDPStrategy(static_graph=False, gradient_as_bucket_view=False)},
            "(no static graph (as the strategy has it))",
        ),
    ],
)
def test_what_rules_a_static_graph_out_is_named(options: dict[str, Any], line: str) -> None:
    assert configure_ddp(trainer(**options), Tuning()) == f"2 ranks by DDP {line}"


def test_one_device_is_not_wrapped_and_a_compiled_step_is_no_static_graph() -> None:
    assert configure_ddp(trainer(devices=1), Tuning()) == ""
    assert static_graph_obstacle(accumulates=False, searches=False, compiled=True) == "the step is compiled"
    assert static_graph_obstacle(accumulates=False, searches=False, compiled=False) is None
