"""`resnet-tl sweep`: a search for the best values of a recipe, on this machine."""

from __future__ import annotations

import argparse
import re
from collections.abc import Container
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.cli.command import Command, Options, split
from resnet_tl.errors import RecipeError, RunError
from resnet_tl.extras import require

if TYPE_CHECKING:
    from resnet_tl.run.sweep_file import Sweep

HELP = """usage: resnet-tl sweep -c RECIPE [-c OVERLAY ...] [--trials N] [--study DIR] [--KEY VALUE ...]
       resnet-tl sweep SWEEP.yaml [--trials N] [--study DIR] [--KEY VALUE ...]
       resnet-tl sweep --study DIR [--trials N]

Search the values of a recipe that score best on the validation images: trial by trial, each an ordinary run in the
study's folder, drawn by Optuna from what scored well before. The first trial has the recipe's own values. SWEEP.yaml
lists the keys that are drawn and their ranges; `resnet-tl sweep-file` writes it. With -c RECIPE they are those that it
would write.

  --trials N                        trials of the study in all (default: the file's run_cap, 20)
  --study DIR                       the study's folder (default: runs/<recipe>/<date-time>-sweep); one that exists is
                                    resumed: its trials count, and the one that was running is resumed too
  --no-prune                        train every trial to its end; by default, one whose metric is worse than the
                                    median of others at the same epoch is stopped

A trial trains on one device. To use several GPUs, start the command again for each, with the same --study and
CUDA_VISIBLE_DEVICES. The folder holds trial1, trial2, ..., trials.csv, sweep.yaml, study.db, and best.yaml: the best
values as an overlay.

example: resnet-tl sweep -c classify/folder_resnet50_finetune --data.root photos --trials 20"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("file", nargs="?", type=Path, metavar="SWEEP.yaml")
    parser.add_argument("--trials", type=int, metavar="N")
    parser.add_argument("--study", type=Path, metavar="DIR")
    parser.add_argument("--no-prune", action="store_true")
    options = parser.read(command)
    if options.help:
        print(HELP)
        return 0
    if options.trials is not None and options.trials < 1:
        raise RecipeError(f"--trials must be int >= 1, got {options.trials}")
    require("a sweep", "optuna", extra="sweep")
    return _sweep(command, options)


def _sweep(command: Command, options: argparse.Namespace) -> int:
    from resnet_tl.run.sweep import Search
    from resnet_tl.run.sweep_results import results_text
    from resnet_tl.tracking.preemption import Preempted

    sweep, shared = _stated(command, options)
    folder = options.study or _default_folder(shared.configs[0])
    sweep = replace(sweep, trials=options.trials or sweep.trials)
    try:
        search = Search(sweep, shared.configs, shared.overrides, folder, prune=not options.no_prune)
    except RecipeError as error:
        if command.configs:
            raise
        raise RecipeError(_in_file(str(error), _file(options), dict(command.overrides))) from None
    _keep(sweep, folder)
    try:
        search.run()
    except (Preempted, KeyboardInterrupt) as stopped:
        print(f"to resume: resnet-tl sweep --study {folder}")
        if isinstance(stopped, Preempted):
            return stopped.exit_code
        raise
    print(results_text(search.study, sweep, folder, search.recipes, search.overrides))
    return 0


def _stated(command: Command, options: argparse.Namespace) -> tuple[Sweep, Command]:
    """The search that the words ask for, and what its trials share."""
    from resnet_tl.run.sweep_file import read_sweep, sweep_of, words_of

    if options.file is None and command.configs:
        return sweep_of(command.configs, command.overrides), command
    if options.file is None and options.study is None:
        raise RecipeError("sweep needs a recipe or a file: resnet-tl sweep -c RECIPE, resnet-tl sweep SWEEP.yaml")
    path = _file(options)
    if options.file is None and not path.is_file():
        raise RecipeError(f"--study {options.study}: no search is there ({path}: no such file); -c RECIPE begins one")
    if command.configs:
        raise RecipeError(f"{path} names its recipe, so -c {command.configs[0]} cannot be given with it")
    sweep = read_sweep(path)
    for key, _ in command.overrides:
        if key in sweep.parameters:
            raise RecipeError(f"--{key}: {path} draws this key in each trial: leave out the option, or the key there")
    shared = split(sweep.words)
    if shared.rest or not shared.configs:
        word = shared.rest[0] if shared.rest else "no recipe"
        raise RecipeError(f"{path}: command: expected a recipe and its values alone, -c RECIPE --KEY=VALUE, got {word}")
    shared.overrides += command.overrides
    return replace(sweep, words=words_of(shared.configs, shared.overrides, sweep.parameters)), shared


def _file(options: argparse.Namespace) -> Path:
    """The file that states the search, where no recipe does."""
    path: Path = options.file or options.study / "sweep.yaml"
    return path


def _in_file(faults: str, path: Path, typed: Container[str]) -> str:
    """Faults with the file in front of options that nobody has typed, and of its metric."""
    return re.sub(
        r"^( *)(?=metric|--([\w.]+))", lambda at: at[0] if at[2] in typed else f"{at[1]}{path}: ", faults, flags=re.M
    )


def _keep(sweep: Sweep, folder: Path) -> None:
    """Keeps the search as sweep.yaml in the study's folder.

    Raises RunError: the folder is of another search, or of anything else.
    """
    from resnet_tl.run.sweep_file import read_sweep, write_sweep

    path = folder / "sweep.yaml"
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise RunError(f"--study {folder}: a file is in the way, expected a folder") from None
        if any(folder.iterdir()):
            raise RunError(f"--study {folder}: the folder is not empty and holds no study; name a new one")
        write_sweep(sweep, path)
    elif replace(read_sweep(path), trials=sweep.trials) != sweep:
        raise RunError(
            f"--study {folder}: searches by {path}, which differs from what is asked for now; to resume it: "
            f"resnet-tl sweep --study {folder}; for another search, name a new folder"
        )


def _default_folder(recipe: str) -> Path:
    return Path("runs") / Path(recipe).stem / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-sweep"
