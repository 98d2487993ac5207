"""Trains all folds of a recipe one after another, each as an ordinary run in one folder."""

from __future__ import annotations

import copy
import gc
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.errors import RecipeError, UserError
from resnet_tl.files import atomic_write
from resnet_tl.recipe.places import in_words
from resnet_tl.recipe.read import write
from resnet_tl.run.build import Overrides, Recipe, RecipeSource, tree_of
from resnet_tl.run.data_class import data_options
from resnet_tl.run.fold_results import write_results
from resnet_tl.run.resume import has_finished, mark_finished
from resnet_tl.run.train import Finish
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.preemption import Preempted
from resnet_tl.tracking.run_folder import RunFolder


class Start(Protocol):
    """`train`, with the options that are the same for all folds."""

    def __call__(self, recipe: Recipe, folder: Callable[[], RunFolder], checkpoint: Path | None) -> RunFolder: ...


def check_folds(folds: int, recipes: Sequence[RecipeSource], overrides: Overrides) -> None:
    """Raises RecipeError for a number of folds that cannot be, and for a recipe that chooses one of them."""
    if folds < 2:
        raise RecipeError(f"--folds {folds}: expected 2 or more")
    fold = data_options(tree_of(recipes, overrides)).get("fold")
    if fold is not None and (fold.from_command or fold.value != 0):  # every resolved recipe has `fold: 0`
        name = in_words(fold, ("data", "fold"))
        raise RecipeError(f"{name} chooses one fold, but --folds {folds} trains all of them: leave out one of the two")


def train_folds(recipe: Recipe, run: RunFolder, start: Start, finish: Finish | None = None) -> None:
    """Trains the folds that are not finished, and writes folds.json and predictions.npz.

    Args:
        recipe: resolved, with `data.folds`; that of each fold but for `data.fold`.
        run: the folder of folds, empty or that of a call that was stopped.
        start: trains a fold.
        finish: called on rank 0 at the end, unless `tracking.report` is false: writes the report.

    Raises:
        Preempted: a signal stopped a fold, which is saved.
        UserError: of the first fold before its first checkpoint: no folder is left behind.
    """
    count = recipe["data"]["init_args"]["folds"]
    folds = [run.fold(number) for number in range(1, count + 1)]
    # All ranks look before any fold is trained, so that they agree.
    finished = [has_finished(fold) for fold in folds]
    run.claim()
    _open(run, recipe, count)
    try:
        for number, fold in enumerate(folds):
            if finished[number]:
                log_info(f"fold {number + 1} of {count}: trained before")
                continue
            checkpoint = fold.last if fold.last.is_file() else None
            start(_of_fold(recipe, number), partial(_made, fold, f"fold {number + 1} of {count}"), checkpoint)
            # A Trainer and its network refer to each other: only this frees the memory of the device.
            gc.collect()
    except (UserError, OSError):  # nothing is left to block the next attempt
        _remove_unstarted(run, folds)
        raise
    except (Preempted, KeyboardInterrupt):
        _remove_unstarted(run, folds)
        if run.is_folds:
            log_info(f"to resume this fold and train those after it: --resume {run.path}")
        raise
    write_results(run, folds)
    if finish is not None and recipe["tracking"]["report"]:
        rank_zero_only(finish)(run, None)
    mark_finished(run)


def _of_fold(recipe: Recipe, number: int) -> Recipe:
    chosen = copy.deepcopy(recipe)
    chosen["data"]["init_args"]["fold"] = number
    return chosen


def _made(fold: RunFolder, title: str) -> RunFolder:
    log_info(title)
    rank_zero_only(fold.path.mkdir)(exist_ok=True)
    return fold


@rank_zero_only
def _open(run: RunFolder, recipe: Recipe, count: int) -> None:
    """Writes what makes it a folder of folds."""
    if not run.is_folds:
        write(recipe, run.recipe)
        with atomic_write(run.folds) as file:
            file.write(json.dumps({"folds": count, "finished": False}).encode() + b"\n")


@rank_zero_only
def _remove_unstarted(run: RunFolder, folds: Sequence[RunFolder]) -> None:
    """Deletes the folder, if it holds no fold and nothing else."""
    if not any(fold.path.exists() for fold in folds):
        for path in (run.recipe, run.folds, run.path / ".lock"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            run.path.rmdir()
