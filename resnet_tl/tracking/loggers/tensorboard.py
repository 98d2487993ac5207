"""TensorBoard event files in the run folder."""

from __future__ import annotations

import importlib.util

from lightning.pytorch.loggers import TensorBoardLogger

from resnet_tl.errors import RunError
from resnet_tl.tracking.run_folder import RunFolder


def tensorboard_logger(run: RunFolder) -> TensorBoardLogger:
    """Writes to `tensorboard/` in the run folder.

    Raises:
        RunError: TensorBoard is not installed.
    """
    if not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
        raise RunError("tracking.tensorboard is true, but TensorBoard is not installed: pip install tensorboard")
    return TensorBoardLogger(run.path, name="", version="tensorboard")
