"""From recipes and overrides to one resolved recipe, and from that to data and task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import seed_everything

from resnet_tl.data.base import ImageData
from resnet_tl.data.classification import ClassificationData
from resnet_tl.data.detection import DetectionData
from resnet_tl.data.segmentation import SegmentationData
from resnet_tl.errors import RecipeError
from resnet_tl.imports import import_object
from resnet_tl.recipe import shipped
from resnet_tl.recipe.build import instantiate
from resnet_tl.recipe.faults import in_order, raise_if_any
from resnet_tl.recipe.node import Node, overlay
from resnet_tl.recipe.read import override, read
from resnet_tl.recipe.resolve import examine
from resnet_tl.recipe.values import as_node
from resnet_tl.run.sections import sections
from resnet_tl.run.training_faults import training_faults
from resnet_tl.tasks.base import Task
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.detection import Detection
from resnet_tl.tasks.segmentation import Segmentation

Recipe = dict[str, Any]
"""Resolved: every default written out, every class by its full import path."""

RecipeSource = str | Path | Mapping[str, Any]
"""A recipe's file, the name of a shipped one, or its sections as Python data."""

Overrides = Iterable[tuple[str, Any]]
"""Values by their keys, `("data.root", "photos")`; text is read as on the command line."""

DATA_OF = {
    Classification: ClassificationData,
    Detection: DetectionData,
    Segmentation: SegmentationData,
}
"""The data modules that each task takes."""

CHANGEABLE_ON_RESUME = (
    "trainer.max_epochs", "trainer.devices", "data.root", "data.num_workers", "data.cache_dir"
)  # fmt: skip


def tree_of(recipes: Iterable[RecipeSource], overrides: Overrides, duplicates: list[str] | None = None) -> Node:
    """Overlays the recipes in order, and the overrides on top.

    duplicates: takes a sentence for each duplicate key, which is an error without.
    """
    layers = [_read(recipe, duplicates) for recipe in recipes]
    layers += [_override(key, value) for key, value in overrides]
    return reduce(overlay, layers, Node({}, "the recipe"))


def compose(recipes: Iterable[RecipeSource], overrides: Overrides = (), *, training: bool = False) -> Recipe:
    """Returns the resolved recipe.

    training: whether its network, plan, optimizer and schedule are checked too, as far as they need no data.

    Raises:
        RecipeError: every fault; a single one in one sentence.
    """
    recipe, faults = _examine(recipes, overrides, training)
    raise_if_any(faults)
    return recipe


def faults_of(recipes: Iterable[RecipeSource], overrides: Overrides = (), *, training: bool = False) -> list[str]:
    """Every fault for which `compose` raises, those of a file in the order of its lines.

    Raises:
        RecipeError: a recipe cannot be read at all.
    """
    return in_order(_examine(recipes, overrides, training)[1])


def _examine(recipes: Iterable[RecipeSource], overrides: Overrides, training: bool) -> tuple[Recipe, list[str]]:
    duplicates: list[str] = []
    tree = tree_of(recipes, overrides, duplicates)
    recipe, faults = examine(tree, sections())
    if not faults:
        faults = _mismatch(recipe)
    return recipe, [*duplicates, *faults, *(training_faults(tree) if training else [])]


def _mismatch(recipe: Recipe) -> list[str]:
    """A sentence where the data is of another task than the model."""
    model, data = (import_object(recipe[key]["class_path"]) for key in ("model", "data"))
    kinds = [(task, kind) for task, kind in DATA_OF.items() if issubclass(data, kind)]
    if not kinds or any(issubclass(model, task) for task, _ in kinds) or not issubclass(model, tuple(DATA_OF)):
        return []
    return [f"model is {model.__name__}, but data is {data.__name__}, which is for {kinds[0][0].__name__}"]


def with_overlays(recipe: RecipeSource | None, overlays: RecipeSource | Sequence[RecipeSource]) -> list[RecipeSource]:
    """A recipe, if there is one, and the overlays on it: one, or several in order."""
    several = [overlays] if isinstance(overlays, (str, Path, Mapping)) else overlays
    return [*([] if recipe is None else [recipe]), *several]


def label_of(recipe: RecipeSource) -> str:
    """What a recipe is called; its last part names the folder of its runs."""
    return "recipe" if isinstance(recipe, Mapping) else str(recipe)


def build_data(recipe: Recipe) -> ImageData:
    return instantiate(ImageData, recipe["data"])


def build_task(recipe: Recipe, classes: list[str]) -> Task:
    """The task for the data's classes; it saves the whole recipe in its checkpoints."""
    task: Task = instantiate(sections().fields["model"].hint, recipe["model"])(classes)
    task.recipe = recipe
    return task


def build_seeded(recipe: Recipe) -> tuple[ImageData, Task]:
    """The data and the task of a recipe, whose random weights and splits follow from its seed."""
    seed_everything(recipe["seed_everything"], workers=True, verbose=False)
    data = build_data(recipe)
    return data, build_task(recipe, data.classes)


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
