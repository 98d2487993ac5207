"""The machine and versions that a figure was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def machine() -> dict[str, str | int]:
    """Processor, cores, threads, versions and the commit of this code (with a `+` after it if there are changes)."""
    import torch

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "torchvision", "lightning", "timm")},
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        from resnet_tl.prediction.speed import processor
    except ModuleNotFoundError:  # OpenCV, which the benchmark of GPUs runs without
        return platform.machine()
    return processor()


def _commit() -> str:
    """Results do not count as changes: one benchmark after the other writes them."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":/!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):  # a copy of the code without its history, or without git
        return "unknown"
    return commit + "+" * bool(changes)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def multiplies_bf16() -> str:
    """The instructions by which the CPU multiplies bf16; "" without any."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text().split() if info.exists() else []
    known = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16 (no AMX)"}
    return next((name for flag, name in known.items() if flag in flags), "")
