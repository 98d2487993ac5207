"""How a loader's worker process starts."""

from __future__ import annotations

import signal
from types import FrameType

import cv2
import torch


def init_worker(worker: int) -> None:
    """Limits a worker to one core, as `num_workers` decides how many cores decode, and lets it outlive signals.

    Schedulers signal every process of a job: the main process then saves the run, and a worker that dies would end it.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, _ignore_once)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _ignore_once(number: int, frame: FrameType | None) -> None:
    # The second ends the worker: PyTorch and multiprocessing both terminate one that hangs.
    signal.signal(number, signal.SIG_DFL)
