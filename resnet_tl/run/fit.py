"""Trains by a recipe, from the start or from where a run was stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.run.build import CHANGEABLE_ON_RESUME, RecipeSource, compose, label_of
from resnet_tl.run.finished import Run
from resnet_tl.run.resume import find_unfinished, foreign_code_of
from resnet_tl.run.train import Finish, train
from resnet_tl.tracking.last import epochs_done
from resnet_tl.tracking.run_folder import RunFolder, start_run
from resnet_tl.tracking.terminal import terminal_log

Override = tuple[str, Any]


def fit(
    recipes: Sequence[RecipeSource],
    overrides: Sequence[Override] = (),
    *,
    run: str | Path | None = None,
    resume: str | Path | None = None,
    finish: Finish | None = None,
    trust_code: bool = False,
    accept_changed_data: bool = False,
) -> Run:
    """Trains, and returns the finished run. See `resnet_tl.fit`.

    Args:
        recipes: a recipe, and overlays upon it in order.
        overrides: keys and values, on top of them.
        finish: see `train`.
    """
    if run is not None and resume not in (None, "auto"):
        raise RecipeError(f"--resume {resume} trains in its own folder, so --run {run} cannot be given with it")
    start = partial(train, finish=finish, accept_changed_data=accept_changed_data)
    with terminal_log():
        if resume is None or resume == "auto":
            folder = None if run is None else Path(run)
            return Run(_start(recipes, overrides, folder, start, look_for_one=resume == "auto").path)
        return Run(_resume(Path(resume), recipes, overrides, start, trust_code).path)


def _start(
    recipes: Sequence[RecipeSource],
    overrides: Sequence[Override],
    folder: Path | None,
    start: Callable[..., RunFolder],
    *,
    look_for_one: bool,
) -> RunFolder:
    if not recipes:
        raise RecipeError("fit needs a recipe: a file, or a name that `resnet-tl recipes list` shows")
    recipe, name = compose(recipes, overrides, training=True), label_of(recipes[0])
    unfinished = find_unfinished(recipe, name, folder) if look_for_one else None
    if unfinished is None and look_for_one and folder is not None and RunFolder(folder).last.is_file():
        raise RunError(
            f"--resume auto: the run in {folder} is finished, or of another recipe; to train it longer: "
            f"--resume {folder} --trainer.max_epochs N"
        )
    if unfinished is None:
        return start(recipe, lambda: start_run(name, folder))
    return start(recipe, lambda: unfinished, unfinished.last if unfinished.last.is_file() else None)


def _resume(
    folder: Path,
    recipes: Sequence[RecipeSource],
    overrides: Sequence[Override],
    start: Callable[..., RunFolder],
    trust_code: bool,
) -> RunFolder:
    run = RunFolder(folder)
    if not run.last.is_file():
        raise RunError(f"--resume {folder}: no run to resume: expected {run.last}")
    if recipes:
        raise RecipeError(f"--resume {folder} uses the run's own recipe, so no other can be given with it")
    for key, _ in overrides:
        if key not in CHANGEABLE_ON_RESUME:
            allowed = ", ".join(CHANGEABLE_ON_RESUME)
            raise RecipeError(f"--{key}: a resumed run keeps its recipe; only {allowed} may change")
    foreign = [] if trust_code else foreign_code_of(run)
    if foreign:
        raise RecipeError(
            f"--resume {folder}: its recipe needs {foreign[0]!r}, which is not part of resnet_tl: add --trust-code "
            "(in Python trust_code=True) if you trust that code"
        )
    recipe = compose([run.recipe], overrides)
    epochs = recipe["trainer"]["max_epochs"]
    if epochs is not None and epochs_done(run.last) >= epochs:
        raise RunError(
            f"--resume {folder}: the run has completed its {epochs} epochs; to train longer: --trainer.max_epochs N"
        )
    return start(recipe, lambda: run, run.last)
