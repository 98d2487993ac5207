"""A run's folder: `runs/<recipe>/<date-time>/`."""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.checkpoint import FOLDS
from resnet_tl.errors import RunError
from resnet_tl.files import claim
from resnet_tl.tracking.log import is_rank_zero

STUDY = "study.db"
"""The file of a search in the folder of its trials."""
_RUN_FOLDER = "RESNET_TL_RUN_FOLDER"
"""The environment variable by which rank 0 passes its folder to the ranks that Lightning starts from it."""


address_of_run: ContextVar[tuple[Path, str] | None] = ContextVar("address_of_run", default=None)
"""The folder on this machine of a run that is at an address, and the address."""


@dataclass
class RunFolder:
    """The paths of a run's files. Only rank 0 writes them."""

    path: Path

    @property
    def place(self) -> str:
        """What to tell a user where the run is: its folder, or the address that this is copied to."""
        folder, address = address_of_run.get() or (None, "")
        return address if folder == self.path else str(self.path)

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def split(self) -> Path:
        return self.path / "split.csv"

    @property
    def files(self) -> Path:
        return self.path / "files.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        return self.checkpoints / "last.ckpt"

    @property
    def best_predictions(self) -> Path:
        return self.path / "predictions.npz"

    @property
    def folds(self) -> Path:
        """What there is in a folder of folds, `fold1`, `fold2`, ..., each an ordinary run."""
        return self.path / FOLDS

    @property
    def is_folds(self) -> bool:
        return self.folds.is_file()

    @property
    def results(self) -> Path:
        """summary.json, or of a folder of folds folds.json."""
        return self.folds if self.is_folds else self.summary

    @property
    def name(self) -> str:
        """What loggers call the run: the folder's name, of a fold with that of the folder of folds."""
        parent = RunFolder(self.path.parent)
        return f"{self.path.parent.name}/{self.path.name}" if parent.is_folds else self.path.name

    @property
    def is_part(self) -> bool:
        """Whether it is a fold, or a trial of a search: these are resumed by the folder that they are in."""
        return RunFolder(self.path.parent).is_folds or (self.path.parent / STUDY).is_file()

    def fold(self, number: int) -> RunFolder:
        """Returns the run of a fold; they count from 1."""
        return RunFolder(self.path / f"fold{number}")

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    @rank_zero_only
    def claim(self) -> None:
        """Locks the folder for as long as this process lives.

        Raises:
            RunError: another process has locked it.
        """
        lock = claim(self.path / ".lock")
        if lock is None:
            raise RunError(f"{self.path}: another process is training in this folder; name another: --run DIR")
        self._lock = lock

    def agree(self, strategy: Strategy) -> None:
        """Takes rank 0's path, which ranks that a cluster launches independently only learn once they are connected."""
        self.path = Path(strategy.broadcast(str(self.path)))


def start_run(recipe: str, given: str | Path | None = None, root: str = "runs", suffix: str = "") -> RunFolder:
    """Creates a new, empty folder for a run.

    Args:
        recipe: its name or path as typed; the last part without `.yaml` names the parent folder.
        given: `--run DIR`: this folder instead of `root/<recipe>/<date-time><suffix>`.

    Raises:
        RunError: `given` is not empty, or the folder cannot be created or written to.
    """
    if not is_rank_zero():
        return RunFolder(Path(given or os.environ.get(_RUN_FOLDER, root)))
    path = _new_folder(Path(root) / Path(recipe).stem, suffix) if given is None else _empty_folder(Path(given))
    os.environ[_RUN_FOLDER] = str(path)
    return RunFolder(path)


def _new_folder(parent: Path, suffix: str) -> Path:
    name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S") + suffix
    number = 1
    while True:
        path = parent / (name if number == 1 else f"{name}_{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not parent.is_dir():
                raise RunError(f"{parent}: cannot create the run's folder: a file has this name") from None
            number += 1
        except OSError as error:
            raise RunError(f"{path}: cannot create the run's folder: {error.strerror}") from None
        else:
            return path


def _empty_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        is_taken = any(path.iterdir())
    except FileExistsError:
        raise RunError(f"--run {path}: is a file, expected a folder") from None
    except OSError as error:
        raise RunError(f"--run {path}: cannot create the run's folder: {error.strerror}") from None
    if is_taken:
        raise RunError(f"--run {path}: the folder is not empty; nothing was written: name a new or an empty folder")
    if not os.access(path, os.W_OK):
        raise RunError(f"--run {path}: no permission to write into this folder")
    return path
