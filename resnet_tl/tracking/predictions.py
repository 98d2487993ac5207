"""predictions.npz: what the best epoch predicted for each validation image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from resnet_tl.errors import RunError
from resnet_tl.files import atomic_write
from resnet_tl.structures.evaluation import BoxEvaluation, ClassEvaluation, Evaluation, PixelEvaluation, ValueEvaluation


def save_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Writes a `.npz` of the fields by their names, and `task`.

    Raises:
        RunError: the file cannot be written.
    """
    arrays = {name: np.asarray(getattr(evaluation, name)) for name in _stored(type(evaluation))}
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, task=np.asarray(evaluation.task), **arrays)


def load_evaluation(path: Path) -> Evaluation:
    """Reads what `save_evaluation` wrote.

    Raises:
        RunError: no such file, or one of another kind.
    """
    with _opened(path) as file:
        arrays = dict(file)
        kind = KINDS[str(arrays.pop("task"))]
        lists = "classes", "step", "absent", "coverage"
        plain: dict[str, Any] = {name: arrays[name].tolist() for name in lists if name in arrays}
        texts = {name: str(arrays[name]) for name in ("root", "split")}
        return kind(**{**{name: arrays[name] for name in _stored(kind)}, **plain, **texts})


def step_of(path: Path) -> int:
    """Returns the optimizer steps of the weights that predicted, without the predictions. Raises RunError as
    `load_evaluation` does."""
    with _opened(path) as file:
        return int(file["step"])


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RunError(f"{path}: not readable as predictions ({error}); delete it to predict again") from error


def _stored(kind: type[Evaluation]) -> list[str]:
    """The fields of a record, without those that only some evaluations have."""
    return [field.name for field in fields(kind) if field.default is MISSING]


KINDS: dict[str, type[Evaluation]] = {
    kind.task: kind for kind in (ClassEvaluation, BoxEvaluation, PixelEvaluation, ValueEvaluation)
}
