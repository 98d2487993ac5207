"""The callbacks of a run with a folder."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.tracking.best import Best, BestPredictions
from resnet_tl.tracking.finite import FiniteLoss
from resnet_tl.tracking.last import Last
from resnet_tl.tracking.limits import ValidateLastStep
from resnet_tl.tracking.loggers.box_images import BoxImages
from resnet_tl.tracking.loggers.draw_best import Draw, DrawBest
from resnet_tl.tracking.loggers.end import EndLoggers
from resnet_tl.tracking.loggers.mask_images import MaskImages
from resnet_tl.tracking.loggers.measure import Measure
from resnet_tl.tracking.loggers.rewind import RewindLoggers
from resnet_tl.tracking.pace import Pace
from resnet_tl.tracking.preemption import Preemption
from resnet_tl.tracking.progress import Progress
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking
from resnet_tl.tracking.summary import Summary


def callbacks(
    run: RunFolder,
    monitor: str,
    tracking: Tracking = Tracking(),
    changed_data: Sequence[str] = (),
    draw: Draw | None = None,
    decide: Sequence[Callback] = (),
) -> list[Callback]:
    """Progress, what loggers take, summary.json, best.ckpt, predictions.npz, last.ckpt, and the stops on a signal or a
    NaN loss.

    Args:
        monitor: the metric whose best value makes an epoch the best: `val/acc`, `val/map`, `val/miou`, `val/mae`.
        changed_data: see `Summary`.
        draw: what loggers draw of the best validation so far; None: nothing.
        decide: what adds to best.ckpt and summary.json at the end, before they are finished.
    """
    pace, last, saved = Pace(), Last(run.checkpoints, tracking.checkpoint_every), Best(run, monitor)
    summary = Summary(run, saved, pace, changed_data)
    return [
        Preemption(last),  # before the work that is done at the end
        ValidateLastStep(),
        BestPredictions(run, saved),
        *decide,
        pace,
        LogEveryEpoch(),
        Progress(saved, pace),
        RewindLoggers(),
        summary,
        Measure(pace),
        EndLoggers(run, summary, tracking.artifacts),
        *([] if draw is None else [DrawBest(draw, run, saved)]),
        saved,
        last,
        FiniteLoss(),
        *([MaskImages(), BoxImages()] if tracking.images else []),
    ]


class LogEveryEpoch(Callback):
    """Lowers `trainer.log_every_n_steps` (50) for short epochs, so that each logs losses and rates at least once."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        steps = trainer.num_training_batches / trainer.accumulate_grad_batches
        if steps < trainer.log_every_n_steps:  # type: ignore[attr-defined]
            trainer.log_every_n_steps = math.ceil(steps)  # type: ignore[attr-defined]
