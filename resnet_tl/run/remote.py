"""A run's folder at an address (`s3://bucket/runs/x`): written on this machine, and copied whenever it was saved.

`last.ckpt` is copied after everything that belongs to it, so that what is at the address can always be resumed: with
the rows of metrics.csv up to it, and maybe later ones, which are dropped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.data.images.cache import cache_folder
from resnet_tl.data.images.key_hash import hash64
from resnet_tl.data.images.remote import is_url, open_filesystem, retried, write_url
from resnet_tl.errors import RunError
from resnet_tl.tracking.log import is_rank_zero, log_info
from resnet_tl.tracking.run_folder import RunFolder, address_of_run

State = tuple[int, int]


class RemoteRun(Callback):
    """A run's folder at an address, and the one on this machine. As a callback it copies what was saved.

    Attributes:
        folder: on this machine, each rank's own.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._files, self._root = open_filesystem(self.url)
        name = PurePosixPath(self._root).name
        rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", os.environ.get("LOCAL_RANK", "0")))
        self.folder = cache_folder(None) / "runs" / f"{hash64(self.url):016x}" / rank / name
        self._copied: dict[str, State] = {}

    def fetch(self) -> bool:
        """Makes the folder on this machine what is at the address; returns whether there is anything.

        Raises:
            RunError: it cannot be read.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        run = RunFolder(self.folder)
        needed = [run.recipe, run.files, run.summary, run.last]
        for path in self._listed():
            file = self.folder / PurePosixPath(path).relative_to(self._root)
            if is_rank_zero() or file in needed:
                file.parent.mkdir(parents=True, exist_ok=True)
                retried(f"{self.url}/{file.name}", partial(self._files.get_file, path, str(file)))
                self._copied[str(file)] = _state(file)
        return bool(self._copied)

    def publish(self) -> None:
        """Copies the files that have changed to the address, `last.ckpt` at the end.

        Raises:
            RunError: they cannot be written.
        """
        last = RunFolder(self.folder).last
        files = [path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        for file in sorted(files, key=lambda path: (path == last, path)):
            state = _state(file)
            if self._copied.get(str(file)) != state:
                write_url(f"{self.url}/{file.relative_to(self.folder).as_posix()}", file)
                self._copied[str(file)] = state

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        last = RunFolder(self.folder).last
        if is_rank_zero() and last.is_file() and self._copied.get(str(last)) != _state(last):
            try:
                self.publish()
            except RunError as error:
                log_info(f"{error}; the next save tries again")

    def _listed(self) -> list[str]:
        self._files.invalidate_cache()

        def find() -> list[str]:
            return [str(path) for path in self._files.find(self._root)] if self._files.exists(self._root) else []

        return retried(self.url, find)


@contextmanager
def at_address(run: Any, resume: Any, folds: object) -> Iterator[tuple[Any, Any, list[Callback]]]:
    """Replaces `run` or `resume`, where one is an address, by the folder on this machine that has its content, and
    copies that to the address in the end, whatever ends the run. Yields both, and callbacks of the run.

    Raises:
        RunError: it cannot be read or written; or a new run is to begin where something is.
    """
    url = next((str(each) for each in (run, resume) if each is not None and is_url(str(each))), None)
    if url is None:
        yield run, resume, []
        return
    if folds is not None:
        raise RunError(f"{url}: folds need a folder on this machine; expected --run DIR")
    remote = RemoteRun(url)
    if remote.fetch() and resume is None:
        raise RunError(f"--run {url}: is not empty; nothing was written: name another, or add --resume auto")
    token = address_of_run.set((remote.folder, remote.url))
    is_new = run is not None and is_url(str(run))
    try:
        yield remote.folder if is_new else run, resume if is_new else remote.folder, [remote]
    finally:
        address_of_run.reset(token)
        if is_rank_zero():
            remote.publish()


def _state(file: Path) -> State:
    status = file.stat()
    return status.st_mtime_ns, status.st_size
