"""Trains by a resolved recipe: data, task, run folder, Trainer, fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.checkpoint import read as read_checkpoint
from resnet_tl.data.base import ImageData
from resnet_tl.data.images.on_device import check_accelerator
from resnet_tl.data.segmentation import SegmentationData
from resnet_tl.errors import UserError
from resnet_tl.recipe.build import instantiate
from resnet_tl.recipe.read import write
from resnet_tl.run.acceleration import Accelerate, device_of, settings_line, settings_of
from resnet_tl.run.batch_limits import check_batch_limits
from resnet_tl.run.batch_probe import SettleMicroBatch
from resnet_tl.run.batch_size import AUTO, with_whole_steps
from resnet_tl.run.build import Recipe, build_seeded
from resnet_tl.run.closing import closing
from resnet_tl.run.ddp import check_strategy, configure_ddp
from resnet_tl.run.decide import Decide
from resnet_tl.run.drawings import Drawings
from resnet_tl.run.files_record import check_unchanged, write_record
from resnet_tl.run.give_teacher import give_teacher
from resnet_tl.run.global_batch import scale_rate, share_global_batch
from resnet_tl.run.head_checkpoint import HeadCheckpoint
from resnet_tl.run.launch import SameStart, check_others
from resnet_tl.run.narrow_maps import PadNarrowMaps
from resnet_tl.run.new_classes import Imprint
from resnet_tl.run.plan import epochs_of, plan_of
from resnet_tl.run.predicted_masks import PredictedMasks
from resnet_tl.run.report_skipped import ReportSkipped
from resnet_tl.run.resume import keep_length, mark_finished
from resnet_tl.run.sharding import FSDP2, adapt, check_sharding
from resnet_tl.run.trainer import (
    build_trainer,
    device_type,
    global_batch,
    resolve_precision,
    stop_if_signalled,
    translate_errors,
)
from resnet_tl.tasks.base import Task
from resnet_tl.tasks.segmentation import Segmentation
from resnet_tl.tracking.callbacks import callbacks as run_callbacks
from resnet_tl.tracking.last import epochs_done
from resnet_tl.tracking.log import log_file, log_info
from resnet_tl.tracking.loggers.build import close, loggers
from resnet_tl.tracking.preemption import Preempted, stop_at_signals
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking

Finish: TypeAlias = Callable[[RunFolder, ImageData | None], None]
"""What is done with a trained run, before its log ends; or with all folds, without a data module."""


def train(
    recipe: Recipe,
    folder: Callable[[], RunFolder],
    checkpoint: Path | None = None,
    finish: Finish | None = None,
    *,
    accept_changed_data: bool = False,
    new_micro_batch: bool = False,
    callbacks: Sequence[Callback] = (),
) -> RunFolder:
    """Fits, and returns the run's folder.

    Args:
        recipe: resolved.
        folder: makes or finds the run's folder; called once data and network are built.
        checkpoint: where to resume; None starts from the beginning.
        accept_changed_data: resume although the data is not what it was.
        new_micro_batch: resume with the recipe's `trainer.micro_batch` in place of the checkpoint's.
        callbacks: run after those that every run has.
        finish: called on rank 0 when the run is complete, unless `tracking.report` is false: writes the report.

    Raises:
        Preempted: a signal stopped the run, which is saved; or it had not trained yet, or compiled its first step.
        UserError: a new run that fails before its first checkpoint leaves no folder behind.
    """
    options, precision = resolve_precision(recipe["trainer"])
    device = _checked_device(recipe, options)
    recipe, data, task = _build({**recipe, "trainer": options})
    run = folder()
    run.claim()
    try:
        accepted = [] if checkpoint is None else check_unchanged(run, data, accept_changed_data)
        with log_file(run.log), stop_at_signals(run):
            settle = SettleMicroBatch(run, data, auto=options["micro_batch"] == AUTO, new=new_micro_batch)
            settings = settings_of(options, task, data, device)
            step, resumes = (None, "") if checkpoint is None else _resume_line(run, recipe, checkpoint)
            imprint = [Imprint()] if task.new_classes and checkpoint is None else []
            more = [settle, Accelerate(settings), PadNarrowMaps(), *imprint, SameStart(step), ReportSkipped(data)]
            trainer = _trainer(recipe, run, task, data, accepted, [*more, *callbacks])
            data.prefetch = settings.prefetch
            sizes = _share_batch(recipe, data, task, trainer)
            check_batch_limits(options, data, data.batch_size, trainer.world_size)
            ranks = _configure_ranks(options, task, trainer)
            if checkpoint is None:
                _write_inputs(run, recipe, data)
            else:
                _resume(run, recipe, resumes, accepted)
            for line in (*data.notes, settings_line(settings, device_of(device), precision, ranks), *sizes):
                log_info(line)
            _fit(trainer, task, data, checkpoint)
            _log_end(run, trainer, data, task)
            if finish is not None and recipe["tracking"]["report"]:
                rank_zero_only(finish)(run, data)
            mark_finished(run)
    except (UserError, OSError, KeyboardInterrupt, Preempted):  # nothing is left to block the next attempt
        if checkpoint is None:
            _remove_unstarted(run)
        raise
    return run


def _checked_device(recipe: Recipe, options: Mapping[str, Any]) -> str:
    """Returns the type of the device, after what can be refused before images and weights are read."""
    epochs_of(options)
    check_strategy(options["strategy"])
    check_others(options)
    device = device_type(options["accelerator"], options["devices"])
    if recipe["data"]["init_args"].get("decode") == "gpu":
        check_accelerator("decoding and transforms", device)
    return device


def _build(recipe: Recipe) -> tuple[Recipe, ImageData, Task]:
    """Returns the recipe with the batches that it is trained in, its data, and its task with its micro-batches."""
    options, whole = recipe["trainer"], with_whole_steps(recipe)
    data, task = build_seeded(whole)
    give_teacher(task)
    if options["micro_batch"] == AUTO:
        data.evaluation_batch_size //= options["accumulate_grad_batches"]
    else:
        task.micro_batches.size = options["micro_batch"]
    task.micro_batches.recover = options["recover_memory"]
    if options["strategy"] == FSDP2:
        check_sharding(options, task, plan_of(task, epochs_of(options)))
        adapt(task)
    return whole, data, task


def _share_batch(recipe: Recipe, data: ImageData, task: Task, trainer: Trainer) -> list[str]:
    """Settles this rank's share of the global batch, and the rate for it; returns lines about both."""
    share_global_batch(recipe, data, task, trainer.world_size)
    line = global_batch(data.batch_size, trainer, task.micro_batches.size)
    rate = scale_rate(task, data.batch_size * trainer.world_size * trainer.accumulate_grad_batches)
    return [line, rate] if rate else [line]


def _configure_ranks(options: Mapping[str, Any], task: Task, trainer: Trainer) -> str:
    """Sets how several ranks share the work, and returns what it is, for the line of settings."""
    in_pieces = options["micro_batch"] is not None or task.micro_batches.size is not None
    redoes = options["recover_memory"] or in_pieces
    ranks = configure_ddp(trainer, compiled=task.tuning.compile == "all", redoes=redoes)
    return ranks + (", the head sharded by FSDP2" if options["strategy"] == FSDP2 else "")


def _fit(trainer: Trainer, task: Task, data: ImageData, checkpoint: Path | None) -> None:
    try:
        with translate_errors(), stop_if_signalled(trainer):
            trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    finally:
        trainer.fit_loop.teardown()  # Lightning, stopped in validation, leaves the training loader's workers
        close(trainer.loggers)


def _resume(run: RunFolder, recipe: Recipe, line: str, changed_data: list[str]) -> None:
    """Logs where the run resumes and with what, and records its length."""
    log_info(line)
    keep_length(run, recipe["trainer"])
    for change in changed_data:
        log_info(f"data that has changed since the run began: {change}")


def _log_end(run: RunFolder, trainer: Trainer, data: ImageData, task: Task) -> None:
    for line in closing(run, trainer, data.num_workers, task.tuning.cache) if trainer.is_global_zero else ():
        log_info(line)
    for sentence in data.skipped():
        log_info(f"skipped: {sentence}")
    log_info(f"the run: {run.place}")


def _trainer(
    recipe: Recipe,
    run: RunFolder,
    task: Task,
    data: ImageData,
    changed_data: list[str],
    more: Sequence[Callback],
) -> Trainer:
    tracking = instantiate(Tracking, recipe["tracking"])
    decide = [Decide(run)] if tracking.decisions else []
    head = [HeadCheckpoint(run.checkpoints)] if tracking.keep_head else []
    masks = None
    if isinstance(data, SegmentationData) and isinstance(task, Segmentation):
        masks = PredictedMasks(data, task)
    drawings = Drawings(tracking.charts, tracking.images, tracking.table_rows, data.channels, masks)
    return build_trainer(
        recipe["trainer"],
        callbacks=[
            *run_callbacks(run, f"val/{task.metrics.headline}", tracking, changed_data, drawings, decide),
            *head,
            *more,
        ],
        loggers=loggers(tracking, run, recipe),
    )


@rank_zero_only
def _write_inputs(run: RunFolder, recipe: Recipe, data: ImageData) -> None:
    """Writes recipe.yaml, split.csv and files.json."""
    if run.recipe.exists():  # of the same run, killed before its first checkpoint
        for path in (run.recipe, run.split, run.files, run.metrics):
            path.unlink(missing_ok=True)
    write(recipe, run.recipe)
    data.write_split(run.split)
    write_record(run, data)


def _resume_line(run: RunFolder, recipe: Recipe, checkpoint: Path) -> tuple[int, str]:
    """The step at which the run resumes, and a line on it and on what becomes of the schedule with another length."""
    saved = read_checkpoint(checkpoint)
    trainer, before = recipe["trainer"], saved.recipe["trainer"]
    done = epochs_done(checkpoint)
    place = "after its last epoch" if done == trainer["max_epochs"] else f"in epoch {done + 1}"
    text = f"{run.place} resumes at step {saved.step}, {place}"
    spanned = [length for length in ("max_epochs", "max_steps") if trainer[length] != before[length]]
    if not spanned:
        return saved.step, text
    changes = " and ".join(f"trainer.{length} is {trainer[length]} instead of {before[length]}" for length in spanned)
    schedule = recipe["model"]["init_args"]["schedule"]["name"]
    return saved.step, (
        f"{text}; {changes}: the {schedule} schedule now spans the new length and continues from its rate at this step"
        + ("; a last phase without `epochs` lasts longer" if "max_epochs" in spanned else "")
    )


@rank_zero_only
def _remove_unstarted(run: RunFolder) -> None:
    """Deletes the files of a run without a checkpoint, and its folder if nothing else is in it."""
    if not any(run.checkpoints.glob("*.ckpt")):
        inputs, results = (run.recipe, run.split, run.files), (run.metrics, run.best_predictions, run.summary)
        for path in (*inputs, *results, run.log, run.path / ".lock"):
            path.unlink(missing_ok=True)
        for folder in (run.checkpoints, run.path):
            with suppress(OSError):
                folder.rmdir()
