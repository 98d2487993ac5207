"""Training with `tuning.compile: all`, without and with CUDA graphs, against eager training: by `resnet_tl.fit`, on one
batch that lies on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.figures import Figure
from benchmarks.gpu_parts.feeding import ONE_BATCH, paces
from benchmarks.gpu_parts.setting import Setting

COMPILED: dict[str, Any] = {**ONE_BATCH, "model.tuning.compile": "all"}
CONTESTANTS: dict[str, dict[str, Any]] = {
    "eager": ONE_BATCH,
    "tuning.compile: all": COMPILED,
    "tuning.compile: all, reduce-overhead": {**COMPILED, "model.tuning.compile_mode": "reduce-overhead"},
}


def measure(setting: Setting) -> Iterator[Figure]:
    with setting.device.compiler():
        yield from paces(setting, f"fit on one batch of {setting.fed_batch} on the device", CONTESTANTS, goals={})
