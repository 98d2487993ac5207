"""Parts of `benchmarks.gpu` that end in all ways."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.gpu_parts.setting import Setting


def measures(setting: Setting) -> Iterator[Figure | str]:
    yield Figure("GPU", f"process {os.getpid()}", "speed", 1.0, "s")
    yield "a sentence"


def raises(setting: Setting) -> Iterator[Figure]:
    yield Figure("GPU", "before an error", "speed", 1.0, "s")
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def crashes(setting: Setting) -> Iterator[Figure]:
    yield Figure("GPU", "before a crash", "speed", 1.0, "s")
    os.abort()


def hangs(setting: Setting) -> Iterator[Figure]:
    yield Figure("GPU", "before its time is over", "speed", 1.0, "s")
    time.sleep(600)


def lacks(setting: Setting) -> Iterator[Figure]:
    import a_package_that_nobody_has  # type: ignore[import-not-found]  # noqa: F401

    yield from ()
