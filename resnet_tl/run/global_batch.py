"""`trainer.global_batch` and `optimizer.base_batch`: what a recipe means on any number of devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from resnet_tl.data.base import ImageData
from resnet_tl.errors import RecipeError
from resnet_tl.recipe.node import Node
from resnet_tl.recipe.places import Place, deepest, in_words
from resnet_tl.tasks.base import Task

GLOBAL_BATCH: Place = ("trainer", "global_batch")

Recipe = dict[str, Any]


def global_batch_faults(tree: Node, recipe: Recipe) -> list[str]:
    """A sentence where another setting would change the global batch that the recipe states."""
    batch, accumulated = recipe["trainer"]["global_batch"], recipe["trainer"]["accumulate_grad_batches"]
    if batch is None or accumulated == 1:
        return []
    return [
        f"{in_words(deepest(tree, GLOBAL_BATCH), GLOBAL_BATCH)} is {batch}, of which each device takes its share in "
        f"pieces of data.batch_size images, but trainer.accumulate_grad_batches is {accumulated}: omit one of the two"
    ]


def share_global_batch(recipe: Recipe, data: ImageData[Any], task: Task, ranks: int) -> None:
    """Makes a batch of the loader one rank's share of the recipe's global batch, if it states one, which goes through
    the network `trainer.micro_batch` images at a time, or `data.batch_size`. So a batch is an optimizer step on any
    number of ranks, and a run that resumes on another number of them goes on with the same images.

    Raises:
        RecipeError: the ranks cannot share it equally.
    """
    batch, given = recipe["trainer"]["global_batch"], recipe["trainer"]["micro_batch"]
    if batch is None:
        return
    if batch % ranks:
        raise RecipeError(_unequal(batch, ranks))
    share = batch // ranks
    if given is None and data.batch_size < share:
        task.micro_batches.size = data.batch_size
    data.batch_size = share


def _unequal(batch: int, ranks: int) -> str:
    below, above = batch // ranks * ranks, -(-batch // ranks) * ranks
    nearest = " or ".join(str(number) for number in (below, above) if number)
    fitting = [number for number in range(1, batch + 1) if batch % number == 0]
    fewer = max(number for number in fitting if number < ranks)
    more = min((number for number in fitting if number > ranks), default=None)
    devices = f"{fewer}" if more is None else f"{fewer} or {more}"
    return (
        f"trainer.global_batch is {batch}, which {ranks} devices cannot share equally; nearest that fit: a global "
        f"batch of {nearest}, or {devices} device{'s' * (devices != '1')}"
    )


def scale_rate(task: Task, batch: int) -> str:
    """Scales the rate to the global batch, if the recipe states which one it is meant for, and returns the arithmetic;
    else "". See `Optimizer.base_batch`."""
    optimizer = task.optimizer
    if optimizer.base_batch is None:
        return ""
    task.optimizer = replace(optimizer, lr=optimizer.lr * batch / optimizer.base_batch)
    text = (
        f"learning rate: {task.optimizer.lr:g} = {optimizer.lr:g} x {batch} / {optimizer.base_batch}, scaled to the "
        "global batch"
    )
    epochs = task.schedule.warmup_epochs
    if epochs:
        return f"{text}, after a warm-up of {epochs:g} epoch{'s' * (epochs != 1)}"
    if batch <= optimizer.base_batch or task.schedule.name == "one-cycle":
        return text
    return f"{text}, without a warm-up (arXiv:1706.02677 takes 5 epochs: model.schedule.warmup_epochs)"
