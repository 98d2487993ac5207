"""TensorBoard event files in the run folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.errors import RunError
from resnet_tl.tracking.loggers.drawings import Drawing, Table
from resnet_tl.tracking.loggers.painted import as_markdown, painted
from resnet_tl.tracking.loggers.run_logger import Outcome, RunLogger
from resnet_tl.tracking.run_folder import RunFolder


def tensorboard_logger(run: RunFolder) -> TensorBoard:
    """Writes to `tensorboard/` in the run folder.

    Raises:
        RunError: TensorBoard is not installed.
    """
    if not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
        raise RunError("tracking.tensorboard is true, but TensorBoard is not installed: pip install tensorboard")
    return TensorBoard(run.path, name="", version="tensorboard")


class TensorBoard(RunLogger, TensorBoardLogger):
    """Lightning's logger; charts are images, tables are text."""

    def send(self, metrics: Mapping[str, float], step: int | None) -> None:
        TensorBoardLogger.log_metrics(self, dict(metrics), step)

    @rank_zero_only
    def show(self, name: str, drawing: Drawing, step: int) -> None:
        if isinstance(drawing, Table):
            self.experiment.add_text(name, as_markdown(drawing), step)
        else:
            self.experiment.add_image(name, painted(drawing), step, dataformats="HWC")

    @rank_zero_only
    def end(self, outcome: Outcome) -> None:
        """Does nothing: event files hold no results of whole runs, and the checkpoints are next to them."""
