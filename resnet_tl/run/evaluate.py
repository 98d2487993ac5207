"""Evaluation without training: of a recipe's weights, and of what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lightning.pytorch import seed_everything

from resnet_tl import checkpoint
from resnet_tl.data.base import ImageData
from resnet_tl.errors import RecipeError, WeightsError
from resnet_tl.recipe.build import foreign_code
from resnet_tl.recipe.node import overlay
from resnet_tl.recipe.resolve import resolve
from resnet_tl.recipe.values import as_node
from resnet_tl.run.build import Overrides, Recipe, build_data, build_task, compose, sections, tree_of
from resnet_tl.run.trainer import build_trainer, guarded, settle_precision
from resnet_tl.tasks.base import Task
from resnet_tl.tracking.log import say

Result = dict[str, Any]
"""`{metrics, headline, interval, images, classes, per_class, ...}`, plain Python."""


def score(verb: str, configs: Sequence[str], overrides: Overrides) -> Result:
    """The weights that a recipe names, as they are. Raises RecipeError where the classifier would be random."""
    recipe = compose(configs, overrides)
    seed_everything(recipe["seed_everything"], workers=True, verbose=False)
    data = build_data(recipe)
    task = build_task(recipe, data.classes)
    if "head" not in task.loaded_stages:
        raise RecipeError(
            f"{verb} would score a random classifier: no weights for it were loaded; name a run folder or checkpoint, "
            "or weights with a classifier of these classes and --model.backbone.keep_classifier true"
        )
    return _evaluate(verb, recipe, task, data)


def score_run(verb: str, configs: Sequence[str], overrides: Overrides, path: str, trust_code: bool) -> Result:
    """A run folder's best checkpoint, or a checkpoint, by the recipe inside it; the command's recipes and options lie
    upon that. Raises WeightsError, and DataError where the images' classes are not the checkpoint's."""
    bundle = checkpoint.read(path)
    foreign = None if trust_code else foreign_code(bundle.recipe)
    if foreign is not None:
        raise WeightsError(
            f"{bundle.path}: needs {foreign!r}, which is not part of resnet_tl: add --trust-code if you trust that code"
        )
    recipe = _recipe_of(bundle, configs, overrides)
    seed_everything(recipe["seed_everything"], workers=True, verbose=False)
    data = build_data(recipe)
    task = build_task(recipe, data.classes)
    task.network.set_preprocessing(bundle.preprocessing)
    task.network.load_state_dict(bundle.state_dict)
    say(f"{bundle.path}: epoch {bundle.epoch}, step {bundle.step}")
    return _evaluate(verb, recipe, task, data)


def _recipe_of(bundle: checkpoint.Bundle, configs: Sequence[str], overrides: Overrides) -> Recipe:
    """The bundle's recipe without what belongs to training on the machine it came from."""
    saved = bundle.recipe
    model = {**saved["model"], "init_args": {**saved["model"]["init_args"]}}
    model["init_args"]["backbone"] = {**model["init_args"]["backbone"], "weights": None}
    data = saved.get("data") or _data_like(bundle)
    data = {**data, "init_args": {**data["init_args"], "classes": bundle.classes}}
    base = {
        "model": model,
        "data": data,
        "seed_everything": saved.get("seed_everything", 1),
    }
    return resolve(overlay(as_node(base, str(bundle.path)), tree_of(configs, overrides)), sections())


def _data_like(bundle: checkpoint.Bundle) -> dict[str, Any]:
    """A folder shown as the network saw its images: for a checkpoint trained from Python, without a recipe."""
    seen = asdict(bundle.preprocessing)
    init_args = {"image_size": seen["size"], "crop": seen["crop"], "interpolation": seen["interpolation"]}
    return {"class_path": "ImageFolder", "init_args": init_args}


def _evaluate(verb: str, recipe: Recipe, task: Task, data: ImageData) -> Result:
    options = recipe["trainer"]
    if options["precision"] == "auto":  # the same score on every device, and `predict`'s own numbers
        options = {**options, "precision": "32-true"}
    options, precision = settle_precision(options)
    for line in (*data.notes, precision):
        say(line)
    trainer = build_trainer(options, callbacks=[], loggers=[])
    with guarded():
        found = getattr(trainer, verb)(task, datamodule=data, verbose=False)
    loader: Any = trainer.test_dataloaders if verb == "test" else trainer.val_dataloaders
    skipped = data.skipped()
    for sentence in skipped:
        say(f"left out: {sentence}")
    return {
        "metrics": found[0],
        "headline": task.metrics.headline,
        "interval": task.interval and list(task.interval),
        "images": len(loader.dataset) - len(skipped),
        "classes": task.classes,
        **task.tables,
    }
