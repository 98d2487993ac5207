"""A resolved recipe carried out: data, task, run folder, Trainer, fit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.checkpoint import read as read_checkpoint
from resnet_tl.data.base import ImageData
from resnet_tl.errors import UserError
from resnet_tl.recipe.build import instantiate
from resnet_tl.recipe.read import write
from resnet_tl.run.build import Recipe, build_data, build_task
from resnet_tl.run.trainer import build_trainer, global_batch, guarded, settle_precision
from resnet_tl.tasks.base import Task
from resnet_tl.tracking.callbacks import callbacks
from resnet_tl.tracking.last import epochs_done
from resnet_tl.tracking.log import kept_log, say
from resnet_tl.tracking.loggers.build import loggers
from resnet_tl.tracking.preemption import Preempted
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking


def train(recipe: Recipe, folder: Callable[[], RunFolder], checkpoint: Path | None = None) -> int:
    """Fit, and give the exit code: 0, or what `Preempted` says of a run that a signal has stopped.

    Args:
        recipe: resolved.
        folder: makes or finds the run's folder; asked for when data and network stand.
        checkpoint: where to go on from; None starts afresh.

    Raises UserError; a new run that ends by one before its first checkpoint leaves no folder behind.
    """
    options, precision = settle_precision(recipe["trainer"])
    recipe = {**recipe, "trainer": options}
    seed_everything(recipe["seed_everything"], workers=True, verbose=False)
    data = build_data(recipe)
    task = build_task(recipe, data.classes)
    run = folder()
    run.claim()
    try:
        with kept_log(run.log):
            trainer = _trainer(recipe, run, task)
            if checkpoint is None:
                _write_what_it_is(run, recipe, data)
            else:
                say(_how_it_goes_on(run, recipe, checkpoint))
            for line in (*data.notes, precision, global_batch(data.batch_size, trainer)):
                say(line)
            with guarded():
                trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            for sentence in data.skipped():
                say(f"left out: {sentence}")
            say(f"the run: {run.path}")
    except Preempted as stopped:
        return int(str(stopped.code))
    except UserError:
        if checkpoint is None:
            _take_back(run)
        raise
    return 0


def _trainer(recipe: Recipe, run: RunFolder, task: Task) -> Trainer:
    tracking = instantiate(Tracking, recipe["tracking"])
    return build_trainer(
        recipe["trainer"],
        callbacks=callbacks(run, f"val/{task.metrics.headline}", tracking.checkpoint_every),
        loggers=loggers(tracking, run, recipe),
    )


@rank_zero_only
def _write_what_it_is(run: RunFolder, recipe: Recipe, data: ImageData) -> None:
    if run.recipe.exists():  # of the same run, killed before its first checkpoint
        for path in (run.recipe, run.split, run.metrics):
            path.unlink(missing_ok=True)
    write(recipe, run.recipe)
    data.write_split(run.split)


def _how_it_goes_on(run: RunFolder, recipe: Recipe, checkpoint: Path) -> str:
    """From where, and what becomes of the schedule when the run is longer now."""
    at = read_checkpoint(checkpoint)
    epochs, before = recipe["trainer"]["max_epochs"], at.recipe["trainer"]["max_epochs"]
    text = f"{run.path} goes on at step {at.step}, in epoch {epochs_done(checkpoint) + 1}"
    if epochs == before:
        return text
    schedule = recipe["model"]["init_args"]["schedule"]["name"]
    return (
        f"{text}; trainer.max_epochs is {epochs} instead of {before}: the {schedule} schedule is laid over {epochs} "
        "epochs and the rate goes on from where that one is at this step; a last phase without a length lasts longer"
    )


@rank_zero_only
def _take_back(run: RunFolder) -> None:
    """The files of a run that never trained, and its folder if nothing else is in it."""
    if not run.checkpoints.exists():
        for path in (run.recipe, run.split, run.log, run.metrics, run.path / ".lock"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            run.path.rmdir()
