"""Finds the run, or the folder of folds, that `resume="auto"` resumes."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from resnet_tl import checkpoint
from resnet_tl.errors import RecipeError
from resnet_tl.files import atomic_write
from resnet_tl.recipe.build import foreign_paths
from resnet_tl.recipe.node import plain
from resnet_tl.recipe.read import as_text, read
from resnet_tl.run.batch_size import with_whole_steps
from resnet_tl.run.build import CHANGEABLE_ON_RESUME, LENGTHS, Recipe, compose
from resnet_tl.run.trainer import resolve_precision
from resnet_tl.tracking.last import epochs_done
from resnet_tl.tracking.log import is_rank_zero
from resnet_tl.tracking.run_folder import RunFolder

_RESUMED_RUN = "RESNET_TL_RESUMED_RUN"
"""The environment variable by which rank 0 passes its choice to the ranks that Lightning starts from it."""


def find_unfinished(
    recipe: Recipe, name: str, folder: Path | None = None, root: str = "runs", *, folds: bool = False
) -> RunFolder | None:
    """Returns the newest unfinished run of a recipe, or None; a run killed before its first checkpoint counts too.

    Args:
        recipe: resolved; the keys in `CHANGEABLE_ON_RESUME` may differ from the run's own.
        name: of the recipe as typed; its last part names the folder of its runs.
        folder: `--run DIR`: look at this one alone.
        folds: look at folders of folds instead of single runs.
    """
    if not is_rank_zero() and _RESUMED_RUN in os.environ:
        chosen = os.environ[_RESUMED_RUN]
        return RunFolder(Path(chosen)) if chosen else None
    folders = [folder] if folder is not None else sorted(Path(root, Path(name).stem).glob("*"), reverse=True)
    candidates = (run for run in map(RunFolder, folders) if run.is_folds == folds)
    run = next((run for run in candidates if _is_unfinished(run, recipe)), None)
    os.environ[_RESUMED_RUN] = str(run.path) if run is not None else ""
    return run


def foreign_code_of(run: RunFolder) -> list[str]:
    """Returns the import paths in a run's recipe that lead outside the project; none of them is imported.

    Raises RecipeError: there is no recipe, or it is not YAML.
    """
    return list(foreign_paths(plain(read(run.recipe))))


def checkpoint_is_trusted(run: RunFolder) -> bool:
    """Whether the checkpoint, or those of all folds, name no code but that of the run's recipe, by which they were just
    trained: the folder of a resumed run may be someone else's."""
    known = set(foreign_code_of(run))
    saved = (checkpoint.read(path) for path in checkpoint.members(run.path))
    return all(set(foreign_paths([each.recipe, each.eval_transforms])) <= known for each in saved)


def _is_unfinished(run: RunFolder, recipe: Recipe) -> bool:
    try:
        if not set(foreign_code_of(run)) <= set(foreign_paths(recipe)):  # someone else's run: it is not imported
            return False
        saved = compose([run.recipe])
    except RecipeError:  # not a run, or one of another version of the project
        return False
    if _without_changeable(saved) != _without_changeable(recipe):
        return False
    if run.is_folds:  # they keep their length: finished ones are not trained again
        return _lengths(recipe["trainer"]) == _lengths(saved["trainer"]) and not has_finished(run)
    return not has_completed(run, recipe["trainer"])


def has_completed(run: RunFolder, trainer: Mapping[str, Any]) -> bool:
    """Whether nothing is left to do of a run that is to be as long as these options of the Trainer say. Something is of
    one that was stopped after its last step, before its results were written."""
    finished = has_finished(run)
    if finished and trainer[(length := ended_by(run))] == _trainer(run)[length]:
        return True
    if not run.last.is_file():
        return False
    more = not finished
    if epochs_done(run.last) >= trainer["max_epochs"] + more:
        return True
    return 0 < trainer["max_steps"] <= _steps_done(run) - more


def ended_by(run: RunFolder) -> str:
    """Returns the one of `LENGTHS` by which a finished run has ended, unless a callback has ended it before."""
    trainer = _trainer(run)
    if 0 < trainer["max_steps"] <= _steps_done(run):
        return "max_steps"
    ended_before = epochs_done(run.last) < trainer["max_epochs"]
    return "max_time" if ended_before and trainer["max_time"] is not None else "max_epochs"


def has_finished(run: RunFolder) -> bool:
    """Whether the plan of a run, or of all folds, has ended, which may be before `max_epochs`; False if the file that
    shows it is damaged."""
    try:
        return bool(json.loads(run.results.read_text())["finished"])
    except (OSError, ValueError, LookupError, TypeError):
        return False


@rank_zero_only
def keep_length(run: RunFolder, trainer: Mapping[str, Any]) -> None:
    """Writes the length of a run that is made longer or shorter into its recipe, by which it is resumed again; what had
    ended by the old one is unfinished."""
    recipe: Any = plain(read(run.recipe))
    if _lengths(recipe["trainer"]) == _lengths(trainer):
        return
    recipe["trainer"] |= _lengths(trainer)
    with atomic_write(run.recipe) as file:
        file.write(as_text(recipe).encode())
    if has_finished(run):
        mark_finished(run, False)


@rank_zero_only
def mark_finished(run: RunFolder, finished: bool = True) -> None:
    """Writes into the results of a run, or of all folds, whether it has ended, which `has_finished` reads."""
    results = json.loads(run.results.read_text())
    with atomic_write(run.results) as file:
        file.write(json.dumps({**results, "finished": finished}, indent=2).encode() + b"\n")


def _trainer(run: RunFolder) -> dict[str, Any]:
    recipe: Any = plain(read(run.recipe))
    options: dict[str, Any] = recipe["trainer"]
    return options


def _lengths(trainer: Mapping[str, Any]) -> dict[str, Any]:
    return {length: trainer[length] for length in LENGTHS}


def _steps_done(run: RunFolder) -> int:
    return checkpoint.read(run.last).step


def _without_changeable(recipe: Recipe) -> Recipe:
    """The part of a recipe that must not change on resume."""
    whole = with_whole_steps(recipe)
    fixed = copy.deepcopy({**whole, "trainer": resolve_precision(whole["trainer"])[0]})
    for key in CHANGEABLE_ON_RESUME:
        section, name = key.split(".")
        values: dict[str, Any] = fixed[section]
        values.get("init_args", values).pop(name, None)
    return fixed
