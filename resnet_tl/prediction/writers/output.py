"""Prediction files and folders: they appear when they are complete, and never replace anything."""

from __future__ import annotations

import errno
import os
import shutil
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, TypeAlias, TypeVar

from resnet_tl.errors import RunError
from resnet_tl.prediction.base import Prediction

P = TypeVar("P", bound=Prediction)

Add: TypeAlias = Callable[[P], None]
"""Writes one prediction."""

Output: TypeAlias = AbstractContextManager[Add[P]]
"""A file or folder of predictions while it is being written."""


def write(predictions: Iterable[P], outputs: Sequence[Output[P]]) -> int:
    """Writes each prediction to each output as it comes, and returns the number of images.

    Outputs are prepared before the first prediction is computed. If one fails, or a prediction does, none appears.

    Raises:
        RunError: an output exists already, or cannot be written.
    """
    images = 0
    with ExitStack() as stack:
        adds = [stack.enter_context(output) for output in outputs]
        for prediction in predictions:
            images += 1
            for add in adds:
                add(prediction)
    return images


@contextmanager
def new_file(path: Path) -> Iterator[IO[str]]:
    """A text file to write, see `appearing`. A byte of a file name that is not UTF-8 becomes `\\udce9`, as in JSON."""
    with appearing(path) as part, open(part, "x", encoding="utf-8", errors="backslashreplace", newline="") as file:
        yield file


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, by the name that it has until then, see `appearing`."""
    with appearing(path) as part:
        part.mkdir()
        yield part


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A name next to `path`, with the same ending; what is written there gets the name `path` once it is complete.

    Missing folders are made. An error or an interrupt removes it. What a killed process leaves is hidden and does not
    block the next attempt.

    Raises:
        RunError: `path` exists, or cannot be written.
    """
    if os.path.lexists(path):
        raise RunError(f"{path} exists and is not overwritten; name another one or remove it")
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):  # now, not after minutes of work
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        yield part
        if not os.path.lexists(path):
            os.rename(part, path)
    except BaseException as error:
        _remove(part)
        # The file may lie in a folder that has no final name yet: the outermost name is the one to report.
        cause = error.__cause__ if isinstance(error, RunError) else error
        if isinstance(cause, OSError):
            raise RunError(f"{path}: cannot be written: {cause.strerror}") from cause
        raise
    if part.exists():  # hours of predicting are not thrown away
        raise RunError(f"{path} was created by someone else meanwhile; what was to be there is in {part}")


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        with suppress(OSError):
            part.unlink()


def image_name(prediction: Prediction) -> str:
    """The image in tables: its path, or the index of an array."""
    return str(prediction.index) if prediction.path is None else prediction.path


class FileNames:
    """Names for files about images, without an ending: the image's own, numbered where it is taken.

    Two names never differ in case or in Unicode composition alone: some file systems take these for one.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, prediction: Prediction) -> str:
        """A name that no earlier call has returned."""
        stem = f"{prediction.index:06d}" if prediction.path is None else Path(prediction.path).stem
        numbered = f"{stem}_{prediction.index}"
        names = [stem, numbered]
        name = next((each for each in names if self._is_free(each)), None)
        name = name or next(each for number in count(2) if self._is_free(each := f"{numbered}_{number}"))
        self._taken.add(_folded(name))
        return name

    def _is_free(self, name: str) -> bool:
        return _folded(name) not in self._taken


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
