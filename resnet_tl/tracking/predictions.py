"""predictions.npz: what the best epoch predicted for each validation image."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from resnet_tl.errors import RunError
from resnet_tl.files import atomic_write
from resnet_tl.structures.evaluation import BoxEvaluation, ClassEvaluation, Evaluation, PixelEvaluation, ValueEvaluation
from resnet_tl.tracking.checkpoints import improves
from resnet_tl.tracking.run_folder import RunFolder


class BestPredictions(Callback):
    """Saves a task's `evaluation` after each validation whose weights `best` is about to save.

    Args:
        best: the callback that saves best.ckpt, after this one.
    """

    def __init__(self, run: RunFolder, best: ModelCheckpoint) -> None:
        self.run, self.best = run, best

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        evaluation: Evaluation | None = getattr(pl_module, "evaluation", None)
        if evaluation is not None and trainer.is_global_zero and improves(trainer, self.best):
            save_evaluation(evaluation, self.run.best_predictions)


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
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        kind = KINDS[str(arrays.pop("task"))]
        plain = {name: arrays[name].tolist() for name in ("classes", "step", "absent", "coverage") if name in arrays}
        texts = {name: str(arrays[name]) for name in ("root", "split")}
        return kind(**{**{name: arrays[name] for name in _stored(kind)}, **plain, **texts})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RunError(f"{path}: not readable as predictions ({error}); delete it to predict again") from error


def _stored(kind: type[Evaluation]) -> list[str]:
    """The fields of a record, without those that only some evaluations have."""
    return [field.name for field in fields(kind) if field.default is MISSING]


KINDS: dict[str, type[Evaluation]] = {
    kind.task: kind for kind in (ClassEvaluation, BoxEvaluation, PixelEvaluation, ValueEvaluation)
}
