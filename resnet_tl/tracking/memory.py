"""How much memory a run has needed."""

from __future__ import annotations

import sys
from contextlib import suppress

import torch


def peak_memory(device: torch.device) -> dict[str, float]:
    """Returns the most memory so far in 10^9 bytes: of the `process` and its `largest worker` (neither on Windows), and
    of tensors on the `GPU`."""
    peaks = {}
    with suppress(ImportError):  # not on Windows
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        for name, who in (("process", resource.RUSAGE_SELF), ("largest worker", resource.RUSAGE_CHILDREN)):
            peaks[name] = resource.getrusage(who).ru_maxrss * unit / 1e9
    if device.type == "cuda":
        peaks["GPU"] = torch.cuda.max_memory_allocated(device) / 1e9
    return peaks
