"""From `-c` recipes and options to one resolved recipe, and from that to data and task."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, Trainer

import resnet_tl.data.classification
import resnet_tl.data.detection
import resnet_tl.data.segmentation
import resnet_tl.tasks.classification
import resnet_tl.tasks.detection
import resnet_tl.tasks.segmentation  # noqa: F401  makes tasks, heads and data known by their short names
from resnet_tl.data.base import ImageData
from resnet_tl.recipe import shipped
from resnet_tl.recipe.build import instantiate
from resnet_tl.recipe.node import Node, overlay
from resnet_tl.recipe.read import override, read
from resnet_tl.recipe.resolve import resolve
from resnet_tl.recipe.schema import Field, Section, fields_of
from resnet_tl.tasks.base import Task
from resnet_tl.tracking.settings import Tracking

Recipe = dict[str, Any]
Overrides = Iterable[tuple[str, str]]
"""Values by their keys: `("data.root", "photos")`."""

OURS = {
    "logger", "plugins", "default_root_dir", "use_distributed_sampler", "enable_checkpointing", "enable_progress_bar",
    "enable_model_summary", "enable_autolog_hparams", "fast_dev_run", "barebones", "reload_dataloaders_every_n_epochs",
    "model_registry",
}  # fmt: skip
"""What of the Trainer's arguments the command decides itself, or what would undo it."""


MAY_CHANGE = ("trainer.max_epochs", "trainer.devices", "data.root", "data.num_workers", "data.cache_dir")
"""What a run may do differently when it goes on."""


def sections() -> Section:
    """The keys of a recipe."""
    return Section(
        {
            "seed_everything": Field(int, 1, "The seed of weights, order, augmentation and mixing."),
            "model": Field(Callable[[list[str]], Task], description="The task: network, tuning, optimizer, schedule."),
            "data": Field(ImageData, description="Where the images are, and how they become batches."),
            "trainer": Field(Section(_trainer(), Trainer), {}, "Arguments of Lightning's Trainer."),
            "tracking": Field(Tracking, Tracking(), "How often a run is saved, and which loggers it has."),
        }
    )


def tree_of(configs: Iterable[str], overrides: Overrides) -> Node:
    """Recipes, by file or shipped name, overlaid in order, the options on top."""
    layers = [read(shipped.find(name), _label(name)) for name in configs]
    layers += [override(key, text) for key, text in overrides]
    return reduce(overlay, layers, Node({}, "the recipe"))


def compose(configs: Iterable[str], overrides: Overrides) -> Recipe:
    """The resolved recipe; RecipeError in one sentence about what is wrong with it."""
    return resolve(tree_of(configs, overrides), sections())


def build_data(recipe: Recipe) -> ImageData:
    return instantiate(ImageData, recipe["data"])


def build_task(recipe: Recipe, classes: list[str]) -> Task:
    """The task over the data's classes; it takes the whole recipe along into its checkpoints."""
    task: Task = instantiate(sections().fields["model"].hint, recipe["model"])(classes)
    task.recipe = recipe
    return task


def _label(name: str) -> str:
    return name if Path(name).is_file() else f"{name.removesuffix('.yaml')}.yaml"


def _trainer() -> dict[str, Field]:
    fields = {name: field for name, field in fields_of(Trainer).items() if name not in OURS}
    precision = fields["precision"].hint
    fields["precision"] = Field(Literal["auto"] | precision, "auto")  # type: ignore[valid-type]
    fields["callbacks"] = Field(list[Callback], [])
    return fields
