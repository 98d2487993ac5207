"""The folder of one run: `runs/<recipe>/<date-time>/`."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.errors import RunError

_CHOSEN = "RESNET_TL_RUN_FOLDER"


@dataclass
class RunFolder:
    """Names of what a run writes. Only rank 0 writes."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def split(self) -> Path:
        return self.path / "split.csv"

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
    def predictions(self) -> Path:
        return self.path / "predictions"

    @rank_zero_only
    def claim(self) -> None:
        """Hold the folder for as long as this process lives.

        Raises:
            RunError: another process holds it.
        """
        with suppress(ImportError):  # not on Windows
            import fcntl

            self._held = open(self.path / ".lock", "w")  # noqa: SIM115
            try:
                fcntl.lockf(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):  # others: a file system that knows no locks
                    raise RunError(
                        f"{self.path}: another process is training in this folder; name another: --run DIR"
                    ) from None

    def agree(self, strategy: Strategy) -> None:
        """Take over rank 0's path, which processes that a cluster starts side by side cannot know before they meet."""
        self.path = Path(strategy.broadcast(str(self.path)))


def start_run(recipe: str, given: str | Path | None = None, root: str = "runs") -> RunFolder:
    """A new folder, made and empty.

    Args:
        recipe: its name or path as typed; the last part without `.yaml` names the folder above.
        given: `--run DIR`: this folder instead of `root/<recipe>/<date-time>`.

    Raises:
        RunError: `given` holds something already, or the folder cannot be made or written to.
    """
    if rank_zero_only.rank != 0:  # type: ignore[attr-defined]
        return RunFolder(Path(given or os.environ.get(_CHOSEN, root)))
    path = _new_folder(Path(root) / Path(recipe).stem) if given is None else _empty_folder(Path(given))
    os.environ[_CHOSEN] = str(path)  # for the processes that Lightning starts from this one
    return RunFolder(path)


def _new_folder(parent: Path) -> Path:
    name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    while True:
        path = parent / (name if number == 1 else f"{name}_{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not parent.is_dir():
                raise RunError(f"{parent}: cannot make a folder for the run: a file is in the way") from None
            number += 1
        except OSError as error:
            raise RunError(f"{path}: cannot make a folder for the run: {error.strerror}") from None
        else:
            return path


def _empty_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        taken = any(path.iterdir())
    except FileExistsError:
        raise RunError(f"--run {path}: is a file, expected a folder") from None
    except OSError as error:
        raise RunError(f"--run {path}: cannot make a folder for the run: {error.strerror}") from None
    if taken:
        raise RunError(f"--run {path}: the folder is not empty; nothing was written: name a new or an empty folder")
    if not os.access(path, os.W_OK):
        raise RunError(f"--run {path}: no permission to write into this folder")
    return path
