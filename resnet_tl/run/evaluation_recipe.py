"""The recipe by which a trained network is evaluated: its own, for images that may lie elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, cast

from resnet_tl import checkpoint
from resnet_tl.data.base import ImageData
from resnet_tl.errors import DataError
from resnet_tl.recipe.node import overlay
from resnet_tl.recipe.schema import fields_of, find_class
from resnet_tl.recipe.values import as_node
from resnet_tl.run.build import Overrides, Recipe, RecipeSource, build_data, build_seeded, resolved, tree_of
from resnet_tl.run.data_class import data_options, without_replaced_place
from resnet_tl.run.evaluated import Evaluated
from resnet_tl.run.files_record import same_files
from resnet_tl.tasks.base import Task
from resnet_tl.tracking.run_folder import RunFolder

TRAINED_ON = {"replay", "replay_shots", "unlabelled", "unlabelled_share"}
"""Options of images that are only trained on, which need not be there for an evaluation."""


def recipe_for(evaluated: Evaluated, recipes: Sequence[RecipeSource], overrides: Overrides) -> Recipe:
    """Returns the network's recipe with overlays. Networks of folds are evaluated on all images of another set."""
    recipe, given = _recipe_of(evaluated.bundle, recipes, overrides), data_options(tree_of(recipes, overrides))
    options = recipe["data"]["init_args"]
    if _is_other_set(evaluated.bundle, recipe, given):
        options |= {"folds": None, "fold": 0, "val_fraction": 1.0}
    elif evaluated.folds is not None:
        options |= {"folds": None, "fold": 0}
    return recipe


def build_evaluation(recipe: Recipe, evaluated: Evaluated) -> tuple[ImageData, Task]:
    """Returns the data of a recipe, and the task with this network.

    Raises:
        DataError: the images cannot be read, or are not where the network's own recipe has them.
    """
    try:
        data, task = build_seeded(recipe)
    except DataError as error:
        raise DataError(f"{error}{_other_place(evaluated.bundle, recipe)}") from error
    evaluated.put_into(task)
    data.most_bits = 8 if evaluated.exported else 16
    return data, task


def _recipe_of(bundle: checkpoint.Bundle, recipes: Sequence[RecipeSource], overrides: Overrides) -> Recipe:
    """The bundle's recipe without what belongs to training on the machine it came from."""
    saved = bundle.recipe
    data = _saved_data(bundle)
    used = {name: value for name, value in data["init_args"].items() if name not in TRAINED_ON}
    data = {**data, "init_args": {**used, "classes": bundle.classes}}
    base = {"model": saved["model"], "data": data, "seed_everything": saved.get("seed_everything", 1)}
    without_weights = {"model": {"init_args": {"backbone": {"weights": None}}}}
    layers = (as_node(base, str(bundle.path)), as_node(without_weights, str(bundle.path)), tree_of(recipes, overrides))
    return resolved(without_replaced_place(reduce(overlay, layers)))


def check_new(run: RunFolder, data: ImageData, split: str) -> None:
    """Raises DataError if the networks of folds were trained on images that they are to be evaluated on."""
    used = split if split in data.listings else {"val": "test", "test": "val"}[split]
    files = data.split_files()
    images = {image.key for image in data.listings.get(used, ())}
    known = [key for key in same_files(run.fold(1), files[used], ("train", "val")) if key in images] if images else []
    if known:
        raise DataError(
            f"{run.path}: its networks were trained on {len(known)} of these {len(images)} images, as "
            f"{known[0]}; {run.folds} has the scores of the images that each was not trained on; expected others, "
            "by --data.root, or `test` with a test split"
        )


def _saved_data(bundle: checkpoint.Bundle) -> dict[str, Any]:
    """The data of the bundle's recipe. Those that name no images, as a published one, resize as the bundle says."""
    data = bundle.recipe.get("data") or {"class_path": "ImageFolder", "init_args": {}}
    if data["init_args"].keys() & {"root", "csv"}:
        return data
    kind = cast(type[ImageData[Any]], find_class(data["class_path"], ImageData))
    saved = {name: value for name, value in data["init_args"].items() if name in fields_of(kind)}
    channels = bundle.recipe["model"]["init_args"]["backbone"].get("in_channels", 3)
    seen = {**kind.options_of(bundle.preprocessing), "eval_transforms": bundle.eval_transforms, "channels": channels}
    return {**data, "init_args": {**saved, **seen}}


def _is_other_set(bundle: checkpoint.Bundle, recipe: Recipe, given: Collection[str]) -> bool:
    """Whether networks of folds are evaluated on a set of which their files.json has no image: all of it is validated
    on, unless an option splits it.

    given: the options of the data that are set for the evaluation.
    """
    run = RunFolder(bundle.path.absolute().parent.parent)
    named, split = {"root", "csv"}.intersection(given), {"folds", "fold", "val_fraction"}.intersection(given)
    if recipe["data"]["init_args"].get("folds") is None or not named or split or not run.files.is_file():
        return False
    return not any(same_files(run, files, ("train", "val")) for files in build_data(recipe).split_files().values())


def _other_place(bundle: checkpoint.Bundle, recipe: Recipe) -> str:
    """Returns how to name another place for the images, if nothing is where they were in training."""
    options = (bundle.recipe.get("data") or {}).get("init_args", {})
    key = "csv" if options.get("csv") else "root"
    place = recipe["data"]["init_args"].get(key)
    if place is None or place != options.get(key) or Path(place).exists():
        return ""
    return f"; that is where {bundle.path} had its images: name their place here, --data.{key} PATH"
