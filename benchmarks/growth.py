"""How seconds and memory of a training step grow with the batch, the side of the images, and the depth of the network.

python -m benchmarks growth [--write] [--rounds 3] [--only batch side depth]

Ours, fp32, SGD with momentum, images in memory; each setting in a process of its own. Memory is the peak beyond that
of a process that only imports.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.figures import Figure, write
from benchmarks.machine import machine
from benchmarks.resnet import in_fresh_process
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build


@dataclass(frozen=True)
class Setting:
    """size: the value that grows along the series, which seconds and memory are divided by."""

    series: str
    size: int
    variant: str
    batch: int
    side: int


SERIES = {
    "batch": [Setting("batch", batch, "resnet50", batch, 128) for batch in (2, 4, 8, 16, 32)],
    "side": [Setting("side", side, "resnet50", 4, side) for side in (64, 128, 256, 512)],
    "depth": [Setting("depth", depth, f"resnet{depth}_cifar", 16, 32) for depth in (20, 56, 110, 1202)],
}
ROWS = {
    "batch": "ResNet-50, 128 px, batch {}",
    "side": "ResNet-50, batch 4, {} px",
    "depth": "ResNet-{} (CIFAR), 32 px, batch 16",
}


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    nothing = in_fresh_process(peak)
    measured: dict[str, Any] = {"machine": machine(), "steps": []}
    for setting in [setting for series in options.only for setting in SERIES[series]]:
        seconds, memory = in_fresh_process(step, setting, options.rounds, torch.get_num_threads())
        measured["steps"].append({**asdict(setting), "seconds": seconds, "mib": memory - nothing})
        print(f"  {ROWS[setting.series].format(setting.size):<36} {min(seconds):8.3f} s {memory - nothing:8.0f} MiB")
    if options.write:
        write("growth", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    """Seconds and memory, and seconds relative to what they would be if they grew with the images, pixels or layers."""
    cells = []
    for each in results["steps"]:
        first = next(step for step in results["steps"] if step["series"] == each["series"])
        expected = (each["size"] / first["size"]) ** (2 if each["series"] == "side" else 1)
        row, grown = ROWS[each["series"]].format(each["size"]), min(each["seconds"]) / min(first["seconds"])
        cells.append(Figure("growth", row, "seconds", min(each["seconds"]), "s"))
        cells.append(Figure("growth", row, "of proportional growth", grown / expected, "×"))
        cells.append(Figure("growth", row, "memory", round(each["mib"]), "MiB"))
    return cells


def step(setting: Setting, rounds: int, threads: int) -> tuple[list[float], float]:
    """Seconds of steps after the first one, and peak memory in MiB."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = build(Backbone(setting.variant), None, LinearHead, [str(number) for number in range(10)]).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    images = torch.randn(setting.batch, 3, setting.side, setting.side).contiguous(memory_format=torch.channels_last)
    targets, seconds = torch.randint(10, (setting.batch,)), []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        loss = nn.functional.cross_entropy(network.run(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return seconds[1:], peak()


def peak() -> float:
    """Peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks growth")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/growth.json")
    return parser
