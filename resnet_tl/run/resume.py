"""`fit --resume auto`: which run goes on."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.errors import RecipeError
from resnet_tl.run.build import MAY_CHANGE, Recipe, compose
from resnet_tl.run.trainer import settle_precision
from resnet_tl.tracking.last import epochs_done
from resnet_tl.tracking.run_folder import RunFolder

_CHOSEN = "RESNET_TL_GOES_ON"


def unfinished(recipe: Recipe, name: str, given: str | None = None, root: str = "runs") -> RunFolder | None:
    """The newest run of this recipe that did not come to its end, one that was killed before its first checkpoint
    included; None where there is none.

    Args:
        recipe: resolved; what may change between two parts of a run may differ from the run's own.
        name: of the recipe as typed; its last part names the folder of its runs.
        given: `--run DIR`: only this one is asked.
    """
    if rank_zero_only.rank != 0 and _CHOSEN in os.environ:  # type: ignore[attr-defined]
        chosen = os.environ[_CHOSEN]
        return RunFolder(Path(chosen)) if chosen else None
    folders = [Path(given)] if given is not None else sorted(Path(root, Path(name).stem).glob("*"), reverse=True)
    run = next((run for run in map(RunFolder, folders) if _is_unfinished(run, recipe)), None)
    os.environ[_CHOSEN] = str(run.path) if run is not None else ""  # for the processes that Lightning starts
    return run


def _is_unfinished(run: RunFolder, recipe: Recipe) -> bool:
    try:
        own = compose([str(run.recipe)], [])
    except RecipeError:  # no run, or of another version of the project
        return False
    if _fixed(own) != _fixed(recipe):
        return False
    epochs = recipe["trainer"]["max_epochs"]
    if _has_ended(run) and epochs == own["trainer"]["max_epochs"]:
        return False
    return not (run.last.is_file() and epochs is not None and epochs_done(run.last) >= epochs)


def _has_ended(run: RunFolder) -> bool:
    """By its plan, which may be before `max_epochs`."""
    return run.summary.is_file() and json.loads(run.summary.read_text())["finished"]


def _fixed(recipe: Recipe) -> Recipe:
    """What must be the same in both parts of a run."""
    fixed = copy.deepcopy({**recipe, "trainer": settle_precision(recipe["trainer"])[0]})
    for key in MAY_CHANGE:
        section, name = key.split(".")
        within: dict[str, Any] = fixed[section]
        within.get("init_args", within).pop(name, None)
    return fixed
