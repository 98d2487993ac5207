"""Trains by a recipe, once or all of its folds, from the start or from where a run was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.run.batch_size import AUTO
from resnet_tl.run.build import CHANGEABLE_ON_RESUME, LENGTHS, Recipe, RecipeSource, compose, label_of
from resnet_tl.run.finished import Folds, Run
from resnet_tl.run.folds import Start, check_folds, train_folds
from resnet_tl.run.launch import resume_if_restarted
from resnet_tl.run.remote import at_address
from resnet_tl.run.resume import ended_by, find_unfinished, foreign_code_of, has_completed, has_finished
from resnet_tl.run.train import Finish, train
from resnet_tl.tracking.run_folder import RunFolder, start_run
from resnet_tl.tracking.terminal import terminal_log

Override = tuple[str, Any]

MICRO_BATCH = "trainer.micro_batch"


def fit(
    recipes: Sequence[RecipeSource],
    overrides: Sequence[Override] = (),
    *,
    run: str | Path | None = None,
    resume: str | Path | None = None,
    finish: Finish | None = None,
    trust_code: bool = False,
    accept_changed_data: bool = False,
    folds: int | None = None,
) -> Run:
    """Trains, and returns the finished run, or `Folds`. See `resnet_tl.fit`.

    Args:
        recipes: a recipe, and overlays upon it in order.
        overrides: keys and values, on top of them.
        finish: see `train`.
    """
    start = partial(train, finish=finish, accept_changed_data=accept_changed_data)
    if resume not in (None, "auto"):  # `auto` repeats the command that the run began by, and keeps what it has found
        start = partial(start, new_micro_batch=MICRO_BATCH in dict(overrides))
    with terminal_log(), at_address(run, resume_if_restarted(run, resume), folds) as (run, resume, callbacks):
        start = partial(start, callbacks=callbacks)
        if resume is None or resume == "auto":
            folder, looks = None if run is None else Path(run), resume == "auto"
            if folds is None:
                return Run(_start(recipes, overrides, folder, start, look_for_one=looks).path)
            return Folds(_start_folds(folds, recipes, overrides, folder, start, finish, look_for_one=looks).path)
        if run is not None:
            raise RecipeError(f"--resume {resume} trains in its own folder, so --run {run} cannot be given with it")
        if folds is not None:
            raise RecipeError(f"--resume {resume} uses its own recipe, so --folds {folds} cannot be given with it")
        if RunFolder(Path(resume)).is_folds:
            return Folds(_resume_folds(RunFolder(Path(resume)), recipes, overrides, start, finish, trust_code).path)
        return Run(_resume(Path(resume), recipes, overrides, start, trust_code).path)


def _start(
    recipes: Sequence[RecipeSource],
    overrides: Sequence[Override],
    folder: Path | None,
    start: Start,
    *,
    look_for_one: bool,
) -> RunFolder:
    _check_recipe(recipes)
    recipe, name = compose(recipes, overrides, training=True), label_of(recipes[0])
    unfinished = find_unfinished(recipe, name, folder) if look_for_one else None
    if unfinished is None and look_for_one and folder is not None and RunFolder(folder).last.is_file():
        raise RunError(
            f"--resume auto: the run in {folder} is finished, or of another recipe; to train it longer: "
            f"--resume {folder} --trainer.max_epochs N"
        )
    if unfinished is None:
        return start(recipe, lambda: start_run(name, folder), None)
    return start(recipe, lambda: unfinished, unfinished.last if unfinished.last.is_file() else None)


def _start_folds(
    folds: int,
    recipes: Sequence[RecipeSource],
    overrides: Sequence[Override],
    folder: Path | None,
    start: Start,
    finish: Finish | None,
    *,
    look_for_one: bool,
) -> RunFolder:
    _check_recipe(recipes)
    check_folds(folds, recipes, overrides)
    recipe = compose(recipes, [*overrides, ("data.folds", folds)], training=True)
    name = label_of(recipes[0])
    run = find_unfinished(recipe, name, folder, folds=True) if look_for_one else None
    if run is None and look_for_one and folder is not None and RunFolder(folder).is_folds:
        raise RunError(f"--resume auto: the folds in {folder} are all trained, or of another recipe; name a new folder")
    run = start_run(name, folder, suffix="-folds") if run is None else run
    train_folds(recipe, run, start, finish)
    return run


def _resume_folds(
    run: RunFolder,
    recipes: Sequence[RecipeSource],
    overrides: Sequence[Override],
    start: Start,
    finish: Finish | None,
    trust_code: bool,
) -> RunFolder:
    recipe = _own_recipe(run, recipes, overrides, trust_code, fixed=[f"trainer.{length}" for length in LENGTHS])
    if has_finished(run):
        raise RunError(f"--resume {run.path}: its {recipe['data']['init_args']['folds']} folds are trained")
    train_folds(recipe, run, start, finish)
    return run


def _resume(
    folder: Path,
    recipes: Sequence[RecipeSource],
    overrides: Sequence[Override],
    start: Start,
    trust_code: bool,
) -> RunFolder:
    run = RunFolder(folder)
    if not run.last.is_file():
        raise RunError(f"--resume {folder}: no run to resume: expected {run.last}")
    recipe = _own_recipe(run, recipes, overrides, trust_code)
    if has_completed(run, recipe["trainer"]):
        length = ended_by(run)
        raise RunError(
            f"--resume {folder}: nothing is left to do with trainer.{length} {recipe['trainer'][length]}; to train "
            f"longer: a larger --trainer.{length}"
        )
    return start(recipe, lambda: run, run.last)


def _own_recipe(
    run: RunFolder,
    recipes: Sequence[RecipeSource],
    overrides: Sequence[Override],
    trust_code: bool,
    fixed: Sequence[str] = (),
) -> Recipe:
    """The recipe that a folder is resumed by. fixed: keys that may change in other folders."""
    if recipes:
        raise RecipeError(f"--resume {run.path} uses the run's own recipe, so no other can be given with it")
    changeable = [key for key in CHANGEABLE_ON_RESUME if key not in fixed]
    for key, value in overrides:
        if key not in changeable:
            raise RecipeError(f"--{key}: a resumed run keeps its recipe; only {', '.join(changeable)} may change")
        if key == MICRO_BATCH and value == AUTO:
            raise RecipeError(f"--{key} is auto, which a run settles when it starts; expected a number to resume with")
    foreign = [] if trust_code else foreign_code_of(run)
    if foreign:
        raise RecipeError(
            f"--resume {run.path}: its recipe needs {foreign[0]!r}, which is not part of resnet_tl: add --trust-code "
            "(in Python trust_code=True) if you trust that code"
        )
    return compose([run.recipe], overrides)


def _check_recipe(recipes: Sequence[RecipeSource]) -> None:
    if not recipes:
        raise RecipeError("fit needs a recipe: a file, or a name that `resnet-tl recipes list` shows")
