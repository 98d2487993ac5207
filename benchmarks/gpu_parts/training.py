"""Training steps of a classifier: ours, timm's and torchvision's, eager, compiled and as CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks.alternate import quartiles
from benchmarks.figures import Figure
from benchmarks.gpu_parts import matmul
from benchmarks.gpu_parts.classifiers import images, ours, timms, torchvisions, training_step
from benchmarks.gpu_parts.device import Mode, Run
from benchmarks.gpu_parts.race import COMPILING, SHARE, TABLE, Timed, joining_race, speed, times_as_fast
from benchmarks.gpu_parts.setting import Setting
from resnet_tl.models.macs import stage_macs
from resnet_tl.models.network import Network

GOAL = 1.0
PASSES, OPERATIONS = 3, 2
"""Forward, gradients of maps, gradients of weights; a multiplication and an addition each."""


def measure(setting: Setting) -> Iterator[Figure | str]:
    yield from at_batch(setting, setting.batch, setting.modes)


def measure_large(setting: Setting) -> Iterator[Figure | str]:
    yield from at_batch(setting, setting.large_batch, setting.large_modes)


def at_batch(setting: Setting, batch: int, modes: Sequence[Mode]) -> Iterator[Figure | str]:
    ceiling = quartiles(matmul.rates(setting)).median
    per_image = PASSES * OPERATIONS * sum(stage_macs(ours(setting), setting.side).values())
    for mode in modes:
        every: dict[str, Timed] = {}
        for every in joining_race(setting, contestants(setting, batch, mode)):
            for name, timed in every.items():
                row = f"training, batch {batch}, {mode}: {name}"
                yield from speed(row, timed, batch)
                share = 100 * per_image * batch / quartiles(timed.seconds).median / ceiling
                yield Figure(TABLE, row, SHARE, share, "%", None, "higher")
                if mode != "eager":
                    yield Figure(TABLE, row, COMPILING, timed.first, "s")
        yield _ours_against_both(batch, mode, every)
        if skipped := setting.device.graphs_skipped():
            yield f"training, batch {batch}, {mode}: {skipped} functions ran without CUDA graphs"


def _ours_against_both(batch: int, mode: Mode, every: dict[str, Timed]) -> Figure:
    row = f"training, batch {batch}, {mode}: ours"
    return times_as_fast(row, every, "ours", ["timm", "torchvision"], GOAL)


def contestants(setting: Setting, batch: int, mode: Mode) -> dict[str, Callable[[], Run]]:
    makers = {"ours": ours, "timm": timms, "torchvision": torchvisions}

    def build(name: str) -> Run:
        model = makers[name](setting)
        forward = model.run if isinstance(model, Network) else model
        return training_step(setting, model, forward, images(setting, batch), mode)

    return {name: partial(build, name) for name in makers}
