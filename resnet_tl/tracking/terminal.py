"""The package's log lines on the terminal. Imports the standard library alone."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from resnet_tl.errors import printable

_HIDDEN_MESSAGES = (
    "GPU available",
    "TPU available",
    "HPU available",
    "💡 Tip",
    "Using bfloat16 Automatic Mixed Precision",
    "Using 16bit Automatic Mixed Precision",
    "`Trainer.fit` stopped",
    "You are using a CUDA device",
    "Restoring states from the checkpoint",
    "Restored all states from the checkpoint",
    "LOCAL_RANK:",
    "Loading `train_dataloader` to estimate",
    "Your model can run with static graph",
    "\nDetected KeyboardInterrupt",
)
_HIDDEN_WARNINGS = (
    ".*isinstance.treespec, LeafSpec.*",
    ".*does not have many workers.*",
    ".*This DataLoader will create 2 worker processes in total.*",  # data.num_workers' default, where there is one core
    ".*The number of training batches .* is smaller than the logging interval.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*GPU available but not used.*",
    ".*Found .* module.* in eval mode at the start of training.*",
    ".*recommended to use .self.log.*sync_dist=True.*",  # the metrics reduce over ranks themselves
    ".*torch.distributed.nn.functional.all_gather is deprecated.*",  # Lightning's `strategy.all_gather` calls it
)


@contextmanager
def terminal_log() -> Iterator[None]:
    """Prints what the logger `resnet_tl` reports to stdout, while inside, and hides what Lightning reports every time.

    Does nothing if that logger has a handler already: a program's own logging set-up wins.
    """
    log = logging.getLogger("resnet_tl")
    if log.handlers:
        yield
        return
    handler, before = _Stdout(), (log.level, log.propagate)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    lightning = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    lightning.addFilter(_is_visible)
    try:
        with warnings.catch_warnings():
            for message in _HIDDEN_WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        lightning.removeFilter(_is_visible)
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


def _is_visible(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_HIDDEN_MESSAGES)


class _Stdout(logging.StreamHandler[TextIO]):
    """Writes to whatever `sys.stdout` is at the time: a live progress bar or a notebook replaces it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stdout

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:
        """Raises the error that logging is handling, as `print` would: a closed pipe ends the command quietly."""
        raise
