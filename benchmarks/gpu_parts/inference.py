"""Inference in bf16 weights: ours, folded, and torchvision's with and without its norms folded (by torch.fx).

At batch 1 each call is waited for, so that its time is a latency; at a large one only the last of a round is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from benchmarks.alternate import quartiles
from benchmarks.figures import Figure
from benchmarks.gpu_parts.classifiers import images, ours, torchvisions
from benchmarks.gpu_parts.device import Mode, Run
from benchmarks.gpu_parts.race import COMPILING, SPEED, TABLE, Timed, memory, race, speed, times_as_fast
from benchmarks.gpu_parts.setting import Setting
from resnet_tl.models.fold import fold

PEERS = ["torchvision", "torchvision, folded"]
CALLS_OF_ONE = 10
"""Times the steps of a round at batch 1, which last about a millisecond."""


def measure(setting: Setting) -> Iterator[Figure]:
    eager, compiled, fastest = setting.modes[0], setting.modes[1], setting.modes[-1]
    # Eager first: compiling takes the longest, and what comes last may be cut off.
    for batch, mode in ((1, eager), (setting.batch, eager), (1, fastest), (setting.batch, compiled)):
        calls = setting.steps * (CALLS_OF_ONE if batch == 1 else 1)
        every = race(setting, contestants(setting, batch, mode), calls)
        for name, timed in every.items():
            row = f"inference, batch {batch}, {mode}: {name}"
            yield from _latency(row, timed) if batch == 1 else speed(row, timed, batch)
            if mode != "eager":
                yield Figure(TABLE, row, COMPILING, timed.first, "s")
        yield times_as_fast(f"inference, batch {batch}, {mode}: ours, folded", every, "ours, folded", PEERS, 1.0)


def contestants(setting: Setting, batch: int, mode: Mode) -> dict[str, Callable[[], Run]]:
    makers: dict[str, Callable[[], tuple[nn.Module, str]]] = {
        "ours, folded": lambda: (fold(ours(setting)), "run"),
        "torchvision": lambda: (torchvisions(setting).eval(), "forward"),
        "torchvision, folded": lambda: (fuse(torchvisions(setting).eval()), "forward"),
    }

    def build(name: str) -> Run:
        model, method = makers[name]()
        model = model.to(dtype=torch.bfloat16, memory_format=torch.channels_last)
        x = images(setting, batch).bfloat16()
        predict = setting.device.in_mode(model if method == "forward" else getattr(model, method), mode)

        def run() -> None:
            with torch.inference_mode():
                predict(x)
            if batch == 1:
                setting.device.wait()

        return run

    return {name: partial(build, name) for name in makers}


def _latency(row: str, timed: Timed) -> Iterator[Figure]:
    low, median, high = quartiles([1000 * seconds for seconds in timed.seconds])
    yield Figure(TABLE, row, SPEED, median, "ms", None, "lower", low, high)
    yield from memory(row, timed.peak)
