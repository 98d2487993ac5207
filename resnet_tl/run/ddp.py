"""How DistributedDataParallel wraps the network of a run."""

from __future__ import annotations

from typing import Any

from lightning import Trainer
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, StrategyRegistry

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.lightning_internals import ddp_options
from resnet_tl.run.sharding import FSDP2

SHARDING = ("fsdp", "deepspeed", "modelparallel")
"""How Lightning's names of strategies that shard parameters begin."""


def check_strategy(strategy: str | dict[str, Any]) -> None:
    """Refuses strategies of a resolved `trainer` section that Lightning does not know, those that pickle the run, those
    that shard all parameters, for reasons in docs/scaling.md, and the class behind `fsdp2`.

    Raises:
        RecipeError: it is one of them.
    """
    name = strategy if isinstance(strategy, str) else strategy["class_path"].rpartition(".")[2]
    if name == "ShardedHead":
        raise RecipeError(f"trainer.strategy is {name}; expected {FSDP2}, which also checks what it cannot have")
    if name != FSDP2 and name.lower().startswith(SHARDING):
        raise RecipeError(
            f"trainer.strategy is {name}, which shards parameters, but frozen parts, averages and checkpoints need "
            f"them whole; expected ddp, or {FSDP2}, which shards a classifier's head (docs/scaling.md)"
        )
    if "spawn" in name.lower():
        raise RecipeError(
            f"trainer.strategy is {name}, which pickles the run to start ranks, but it has open files; expected ddp"
        )
    known = ["auto", FSDP2, *StrategyRegistry.available_strategies()]
    if isinstance(strategy, str) and strategy.lower() not in known:
        raise RecipeError(
            f"trainer.strategy is {strategy!r}; expected auto, ddp, {FSDP2}, another of Lightning's, or the class_path "
            f"of one{did_you_mean(strategy, known)}"
        )


def configure_ddp(trainer: Trainer, *, compiled: bool, redoes: bool) -> str:
    """Sets what the recipe's strategy leaves open, and returns what it is, for the line of settings.

    Gradients are views of the buffers that ranks exchange: they are not copied, and their memory is needed once.

    Args:
        compiled: whether the whole step is compiled.
        redoes: whether the task may run backward itself, in micro-batches or again when memory was full.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, DDPStrategy) or isinstance(strategy, DeepSpeedStrategy):
        return "" if trainer.world_size == 1 else f"{trainer.world_size} ranks by {type(strategy).__name__}"
    options = ddp_options(strategy)
    options.setdefault("gradient_as_bucket_view", True)
    static = is_static(
        accumulates=trainer.accumulate_grad_batches > 1,
        searches=bool(options.get("find_unused_parameters")),
        compiled=compiled,
        redoes=redoes,
    )
    options.setdefault("static_graph", static)
    views = "bucket views" if options["gradient_as_bucket_view"] else "no bucket views"
    graph = "static graph" if options["static_graph"] else "no static graph"
    return f"{trainer.world_size} ranks by DDP ({views}, {graph})"


def is_static(*, accumulates: bool, searches: bool, compiled: bool, redoes: bool) -> bool:
    """Whether DDP can be told that every step runs the same operations, each followed by one exchange of gradients.

    Within a phase that is so: heads give every trained parameter a gradient on any batch, and the network is wrapped
    again when the phase changes. It spares nothing but the reports of a changed graph where no parameter is unused, so
    it is left out wherever in doubt.

    Args:
        accumulates: whether some backward passes exchange nothing: torch up to 2.14 counts them, and then exchanges no
            gradients at all, or fails (pytorch/pytorch#187732).
        searches: whether the strategy looks for unused parameters in each step, so that they may change.
        compiled: whether the whole step is compiled: the compiler splits its graph at DDP's buckets.
        redoes: whether backward may run several times in a step, which are counted, too.
    """
    return not (accumulates or searches or compiled or redoes)
