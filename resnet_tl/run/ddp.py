"""How DistributedDataParallel wraps the network of a run."""

from __future__ import annotations

from lightning import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy

from resnet_tl.lightning_internals import ddp_options
from resnet_tl.tuning.plan import Tuning


def configure_ddp(trainer: Trainer, tuning: Tuning) -> str:
    """Sets what the recipe's strategy leaves open, and returns what it is, for the line of settings.

    Gradients are views of the buffers that ranks exchange: they are not copied, and their memory is needed once.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, DDPStrategy) or isinstance(strategy, DeepSpeedStrategy):
        return "" if trainer.world_size == 1 else f"{trainer.world_size} ranks by {type(strategy).__name__}"
    options = ddp_options(strategy)
    options.setdefault("gradient_as_bucket_view", True)
    obstacle = static_graph_obstacle(
        accumulates=trainer.accumulate_grad_batches > 1
        or any(isinstance(callback, GradientAccumulationScheduler) for callback in trainer.callbacks),  # type: ignore[attr-defined]
        searches=bool(options.get("find_unused_parameters")),
        compiled=str(tuning.compile) == "all",
    )
    options.setdefault("static_graph", obstacle is None)
    graph = "static graph" if options["static_graph"] else f"no static graph ({obstacle or 'as the strategy has it'})"
    views = "gradients as bucket views, " if options["gradient_as_bucket_view"] else ""
    return f"{trainer.world_size} ranks by DDP ({views}{graph})"


def static_graph_obstacle(*, accumulates: bool, searches: bool, compiled: bool) -> str | None:
    """Returns why DDP cannot be told that each step runs the same operations; None if it can.

    A phase runs the same ones from its first step to its last: heads give every trained parameter a gradient on any
    batch, and the network is wrapped again when the phase changes.

    Args:
        accumulates: whether some backward passes do not exchange gradients: torch 2.13 fails if the first is one
            (pytorch/pytorch#187732).
        searches: whether the strategy looks for unused parameters in each step, so that they may change.
        compiled: whether the whole step is compiled: its compiler splits the graph by DDP's buckets.
    """
    if accumulates:
        return "gradients are accumulated"
    if searches:
        return "the strategy looks for unused parameters"
    return "the step is compiled" if compiled else None
