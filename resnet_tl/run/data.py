"""A data module without a task: from a recipe's `data` section, or from the form of a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lightning.pytorch import seed_everything

from resnet_tl.data.base import ImageData
from resnet_tl.data.checks.check import check, fault_findings
from resnet_tl.data.checks.stats import stats, stats_picture
from resnet_tl.data.detection import DetectionData
from resnet_tl.data.images.manifest import Manifest
from resnet_tl.data.listings.faults import kept_faults
from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.packing.pack import pack
from resnet_tl.data.sources.mask_coding import UnlistedColours
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.recipe.build import instantiate
from resnet_tl.recipe.node import Node
from resnet_tl.recipe.resolve import resolve
from resnet_tl.recipe.schema import Section
from resnet_tl.run.anchor_fit import anchor_fit
from resnet_tl.run.build import Overrides, RecipeSource, tree_of
from resnet_tl.run.data_class import names_class, with_detected_class, with_table
from resnet_tl.run.sections import sections

__all__ = ["Finding", "UnlistedColours", "check_data", "data_stats", "open_data", "pack_data", "stats_picture"]

KEYS = ("seed_everything", "data")
TABLES = (".csv", ".tsv", ".parquet")


def open_data(recipes: Sequence[RecipeSource], overrides: Overrides, root: str | None = None) -> ImageData:
    """Builds the data module that `fit` would build.

    Args:
        recipes: of which only `data` and `seed_everything` count.
        overrides: of their values.
        root: a folder, zip or CSV in any form that a data module reads, instead of recipes.

    Raises:
        UserError: a fault of the recipe, or of the data.
    """
    given = list(overrides)
    for key, _ in given:
        if key.partition(".")[0] not in KEYS:
            raise RecipeError(f"--{key}: unknown option; expected --data.KEY, as data.val_fraction")
    if root is not None:
        given = [("data.csv" if root.lower().endswith(TABLES) else "data.root", root), *given]
    tree, notes = tree_of(recipes, given), []
    if names_class(tree):
        tree = with_table(tree)
    else:
        tree, note = with_detected_class(tree)
        notes = [note]
    fields = {key: field for key, field in sections().fields.items() if key in KEYS}
    recipe = resolve(Node({key: node for key, node in tree.value.items() if key in KEYS}, tree.where), Section(fields))
    seed_everything(recipe["seed_everything"], workers=True, verbose=False)
    data: ImageData = instantiate(ImageData, recipe["data"])
    data.notes = [*notes, *data.notes]
    return data


def check_data(
    recipes: Sequence[RecipeSource],
    overrides: Overrides,
    root: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[str], list[Finding]]:
    """Returns the notes of the data module, and what is probably wrong with its images and annotations.

    Faults for which `fit` would end are findings, too; the rest of the set is checked all the same.

    Args:
        recipes, overrides, root: as for `open_data`.
        progress: called with the number of images read, and of all.

    Raises:
        UserError: a fault of the recipe, or data of which nothing can be read.
    """
    with kept_faults() as faults:
        try:
            data = open_data(recipes, overrides, root)
        except DataError as error:
            if not faults:
                raise
            return [], list(fault_findings("", {**faults, str(error): ""}))
    return data.notes, [*fault_findings(data.root, faults), *(check(data, progress) if data.listings else [])]


def pack_data(
    recipes: Sequence[RecipeSource],
    overrides: Overrides,
    root: str | None,
    destination: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> tuple[list[str], Manifest]:
    """Packs the images that a recipe names into shards; returns the notes of the data module, and what was packed.

    Args:
        recipes, overrides, root: as for `open_data`.
        destination, progress, options: of `pack`.

    Raises:
        UserError: a fault of the recipe, of the data, or of what lies at the destination.
    """
    data = open_data(recipes, overrides, root)
    return data.notes, pack(data, destination, progress=progress, **options)


def data_stats(
    recipes: Sequence[RecipeSource], overrides: Overrides, root: str | None = None
) -> tuple[list[str], dict[str, Any]]:
    """Returns the notes of the data module, and what it consists of in numbers: see `stats`.

    Objects have `anchors`, too: how they fit the anchors of the recipes' head, see `anchor_fit`.

    Args:
        recipes, overrides, root: as for `open_data`.
    """
    data = open_data(recipes, overrides, root)
    numbers = stats(data)
    fit = anchor_fit(data, recipes, []) if isinstance(data, DetectionData) and "train" in data.listings else None
    return data.notes, {**numbers, **({} if fit is None else {"anchors": fit})}
