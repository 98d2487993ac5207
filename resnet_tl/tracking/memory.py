"""How much memory a run has needed."""

from __future__ import annotations

import sys
from contextlib import suppress

import torch


def peak_memory(device: torch.device) -> dict[str, float]:
    """Returns the most memory so far in 10^9 bytes: of the `process`, without its workers (not on Windows), and of
    tensors on the `GPU`."""
    peaks = {}
    with suppress(ImportError):  # not on Windows
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peaks["process"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    if device.type == "cuda":
        peaks["GPU"] = torch.cuda.max_memory_allocated(device) / 1e9
    return peaks
