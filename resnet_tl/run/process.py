"""What holds for the whole process: only the command sets it, an import never does."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 1 << 30

_NOISE = (
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
)
_QUIET_WARNINGS = (
    ".*isinstance.treespec, LeafSpec.*",
    ".*does not have many workers.*",
    ".*The number of training batches .* is smaller than the logging interval.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*GPU available but not used.*",
    ".*Found .* module.* in eval mode at the start of training.*",
    ".*recommended to use .self.log.*sync_dist=True.*",  # metrics are reduced over processes already
)


def prepare() -> None:
    """Before anything heavy is imported."""
    if "" not in sys.path:
        sys.path.insert(0, "")  # a recipe may name a class in a file of the folder the user works in
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    if "OMP_WAIT_POLICY" not in os.environ:
        # GNU OpenMP's threads spin while they wait, on cores that the decoding processes need. After 10,000 rounds they
        # sleep: on idle cores nothing is lost (steps of ResNet-20 and -50), on busy ones a run is several times faster.
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # what it cannot decode is told by our own sentence
    if os.environ.get("RESNET_TL_MALLOPT", "1") != "0":
        keep_freed_memory()
    for message in _QUIET_WARNINGS:
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_worth_reading)


def keep_freed_memory() -> None:
    """Let glibc keep the memory of freed maps for the next step, instead of giving it back and zeroing new pages.

    Elsewhere than on glibc it does nothing. RESNET_TL_MALLOPT=0 leaves it out.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEEP)
        mallopt(_M_TRIM_THRESHOLD, _KEEP)


def _is_worth_reading(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_NOISE)
