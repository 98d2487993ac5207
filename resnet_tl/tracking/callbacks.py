"""The callbacks of a run that is kept."""

from __future__ import annotations

from lightning.pytorch import Callback

from resnet_tl.tracking.checkpoints import best_and_last
from resnet_tl.tracking.pace import Pace
from resnet_tl.tracking.progress import Progress
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.summary import Summary


def callbacks(run: RunFolder, monitor: str) -> list[Callback]:
    """Progress, summary.json, best.ckpt and last.ckpt.

    monitor: the metric that names the best epoch by its highest value: `val/acc`, `val/map`, `val/miou`.
    """
    pace = Pace()
    return [pace, Progress(monitor, pace), Summary(run, monitor, pace), *best_and_last(run.checkpoints, monitor)]
