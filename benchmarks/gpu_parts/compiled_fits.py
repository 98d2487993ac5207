"""Training with `tuning.compile: all`, without and with CUDA graphs, against eager training: by `resnet_tl.fit`, on one
batch that lies on the device."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.alternate import quartiles
from benchmarks.figures import Figure
from benchmarks.gpu_parts.feeding import ONE_BATCH, run, write_images
from benchmarks.gpu_parts.race import SPEED, TABLE, TIMES, memory
from benchmarks.gpu_parts.setting import Setting

EAGER = "eager"
COMPILED: dict[str, Any] = {"model.tuning.compile": "all"}
CONTESTANTS: dict[str, dict[str, Any]] = {
    EAGER: {},
    "tuning.compile: all": COMPILED,
    "tuning.compile: all, reduce-overhead": {**COMPILED, "model.tuning.compile_mode": "reduce-overhead"},
}


def measure(setting: Setting) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "photos", setting.images)
        eager = 0.0
        for name, options in CONTESTANTS.items():
            with setting.device.compiler():
                pace = run(setting, Path(folder), name, {**ONE_BATCH, **options})
            row = f"fit on one batch of {setting.fed_batch} on the device: {name}"
            low, median, high = quartiles(pace.rates)
            yield Figure(TABLE, row, SPEED, median, "images/s", None, "higher", low, high)
            eager = eager or median
            if name != EAGER:
                yield Figure(TABLE, row, TIMES, median / eager, "×", None, "higher")
            yield from memory(row, pace.peak)
