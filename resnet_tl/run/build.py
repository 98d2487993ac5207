"""From recipes and overrides to one resolved recipe, and from that to data and task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import seed_everything

from resnet_tl.data.base import ImageData
from resnet_tl.errors import RecipeError
from resnet_tl.ranges import ImageChannels, within
from resnet_tl.recipe import shipped
from resnet_tl.recipe.build import instantiate
from resnet_tl.recipe.faults import in_order, raise_if_any
from resnet_tl.recipe.node import Node, overlay
from resnet_tl.recipe.places import Place, deepest, in_words
from resnet_tl.recipe.read import override, read
from resnet_tl.recipe.resolve import examine
from resnet_tl.recipe.values import as_node
from resnet_tl.run.batch_size import overlay_batch
from resnet_tl.run.data_class import (
    as_init_args,
    data_options,
    mismatch,
    names_class,
    with_detected_class,
    with_likely_class,
    without_replaced_place,
)
from resnet_tl.run.global_batch import global_batch_faults
from resnet_tl.run.replay import check_replay
from resnet_tl.run.sections import sections
from resnet_tl.run.training_faults import training_faults
from resnet_tl.tasks.base import Task
from resnet_tl.tracking.log import log_info

Recipe = dict[str, Any]
"""Resolved: every default written out, every class by its full import path."""

RecipeSource = str | Path | Mapping[str, Any]
"""A recipe's file, the name of a shipped one, or its sections as Python data."""

Overrides = Iterable[tuple[str, Any]]
"""Values by their keys, `("data.root", "photos")`; text is read as on the command line."""

IN_CHANNELS: Place = ("model", "init_args", "backbone", "in_channels")

LENGTHS = ("max_epochs", "max_steps", "max_time")
"""The keys of `trainer` that end a run, whichever is reached first."""
CHANGEABLE_ON_RESUME = (
    *(f"trainer.{length}" for length in LENGTHS), "trainer.devices", "trainer.num_nodes", "trainer.micro_batch",
    "data.root", "data.replay", "data.unlabelled", "data.num_workers", "data.cache_dir", "data.cache_gb",
)  # fmt: skip


def tree_of(recipes: Iterable[RecipeSource], overrides: Overrides, duplicates: list[str] | None = None) -> Node:
    """Overlays the recipes in order, and the overrides on top.

    duplicates: takes a sentence for each duplicate key, which is an error without.
    """
    layers = [as_init_args(_read(recipe, duplicates)) for recipe in recipes]
    layers += [_override(key, value) for key, value in overrides]
    return without_replaced_place(reduce(overlay_batch, layers, Node({}, "the recipe")))


def compose(recipes: Iterable[RecipeSource], overrides: Overrides = (), *, training: bool = False) -> Recipe:
    """Returns the resolved recipe.

    training: whether its network, plan, optimizer and schedule are checked too, as far as they need no data.

    Raises:
        RecipeError: every fault; a single one in one sentence.
    """
    duplicates: list[str] = []
    return resolved(tree_of(recipes, overrides, duplicates), duplicates, training=training)


def resolved(tree: Node, duplicates: Sequence[str] = (), *, training: bool = False) -> Recipe:
    """Returns the recipe of a tree, with the class that reads its data where it names none.

    duplicates: faults that were found when the tree was read.

    Raises:
        RecipeError: every fault; a single one in one sentence.
        DataError: the class of the data is not named, and cannot be detected.
    """
    recipe, faults = _examine(settled(tree), training)
    raise_if_any([*duplicates, *faults])
    if names_class(tree):
        return recipe
    tree, note = with_detected_class(tree)
    recipe, faults = _examine(settled(tree))
    raise_if_any(faults)
    log_info(note)
    return recipe


def faults_of(recipes: Iterable[RecipeSource], overrides: Overrides = (), *, training: bool = False) -> list[str]:
    """Every fault for which `compose` raises before it reads data, those of a file in the order of its lines.

    Raises:
        RecipeError: a recipe cannot be read at all.
    """
    duplicates: list[str] = []
    tree = settled(tree_of(recipes, overrides, duplicates))
    return in_order([*duplicates, *_examine(tree, training)[1]])


def settled(tree: Node) -> Node:
    """The recipe with a class for its data: where it names none, the likely one, by its options alone."""
    return _with_linked_channels(tree if names_class(tree) else with_likely_class(tree))


def _examine(tree: Node, training: bool = False) -> tuple[Recipe, list[str]]:
    recipe, faults = examine(tree, sections())
    # First: options of the other task's data are unknown to this one's, which would say less.
    faults = mismatch(tree) or faults or [*_channel_faults(tree, recipe), *global_batch_faults(tree, recipe)]
    return recipe, [*faults, *(training_faults(tree) if training else [])]


def _with_linked_channels(tree: Node) -> Node:
    """The recipe whose network takes images of `data.channels` channels, unless it sets `in_channels` itself."""
    channels = data_options(tree).get("channels")
    if channels is None or type(channels.value) is not int or not within(channels.value, ImageChannels):
        return tree
    linked = channels
    for key in reversed(IN_CHANNELS):
        linked = Node({key: linked}, channels.where)
    return overlay(linked, tree)


def _channel_faults(tree: Node, recipe: Recipe) -> list[str]:
    """A sentence where network and images have different numbers of channels."""
    channels = recipe["data"]["init_args"].get("channels")
    expected = recipe["model"]["init_args"].get("backbone", {}).get("in_channels", channels)
    if channels in (None, expected):
        return []
    place = in_words(deepest(tree, IN_CHANNELS), IN_CHANNELS)
    return [f"{place} is {expected}, but data.channels is {channels}: set data.channels alone, in_channels follows it"]


def with_overlays(recipe: RecipeSource | None, overlays: RecipeSource | Sequence[RecipeSource]) -> list[RecipeSource]:
    """A recipe, if there is one, and the overlays on it: one, or several in order."""
    several = [overlays] if isinstance(overlays, (str, Path, Mapping)) else overlays
    return [*([] if recipe is None else [recipe]), *several]


def label_of(recipe: RecipeSource) -> str:
    """What a recipe is called; its last part names the folder of its runs."""
    return "recipe" if isinstance(recipe, Mapping) else str(recipe)


def build_data(recipe: Recipe) -> ImageData:
    data: ImageData = instantiate(ImageData, recipe["data"])
    micro_batch = recipe["trainer"].get("micro_batch")  # checkpoints of earlier versions have none
    if isinstance(micro_batch, int):
        data.evaluation_batch_size = min(data.batch_size, micro_batch)
    return data


def build_task(recipe: Recipe, classes: list[str]) -> Task:
    """The task for the data's classes; it saves the whole recipe in its checkpoints."""
    task: Task = instantiate(sections().fields["model"].hint, recipe["model"])(classes)
    task.recipe = recipe
    return task


def build_seeded(recipe: Recipe) -> tuple[ImageData, Task]:
    """The data and the task of a recipe, whose random weights and splits follow from its seed."""
    seed_everything(recipe["seed_everything"], workers=True, verbose=False)
    data = build_data(recipe)
    task = build_task(recipe, data.classes)
    check_replay(data, task)
    return data, task


def _read(recipe: RecipeSource, duplicates: list[str] | None) -> Node:
    if isinstance(recipe, Mapping):
        _check_keys(recipe)
        return as_node(dict(recipe), "the recipe")
    name = label_of(recipe)
    label = name if Path(name).is_file() else f"{name.removesuffix('.yaml')}.yaml"
    return read(shipped.find(name), label, duplicates)


def _check_keys(value: Any) -> None:
    for key, child in value.items() if isinstance(value, Mapping) else ():
        if not isinstance(key, str):
            raise RecipeError(f"the recipe: a key must be text, got {key!r}")
        _check_keys(child)


def _override(key: str, value: Any) -> Node:
    if isinstance(value, (str, Path)):
        return override(key, str(value))
    where = f"--{key}"
    node = as_node(value.item() if isinstance(value, np.generic) else value, where)
    for part in reversed(key.split(".")):
        node = Node({part: node}, where)
    return node
