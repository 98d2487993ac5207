"""Our ResNet compared with torchvision's: a training step and inference on the CPU.

The peer is torchvision's network in its best form: in channels-last, compiled where ours is, with the same malloc; its
default layout is measured next to that.

python -m benchmarks resnet [--write] [--rounds 20] [--variant resnet50] [--batch 16] [--size 224] [--threads N]
                            [--allocators default raised] [--precisions 32 bf16]
                            [--parts training inference single memory]

`single`: inference of one image at a time. `raised`: glibc's malloc keeps freed memory instead of returning it to the
kernel (`mallopt`); all contestants are measured with and without it, each time in a separate process. bf16 is measured
only where the processor multiplies it (AMX or AVX512-BF16); peers run in it too.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.alternate import Seconds, alternate, quartiles, ratios
from benchmarks.figures import Figure, ratio, write
from benchmarks.machine import machine, multiplies_bf16
from resnet_tl.models.fold import fold
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, Network, build

TARGETS = {
    ("training", "ours", "torchvision, channels-last"): 0.95,
    ("training", "ours, compiled", "torchvision, channels-last, compiled"): 0.95,
    ("training", "ours", "torchvision"): 0.78,
    ("inference", "ours, folded", "torchvision, channels-last, compiled"): 0.90,
    ("inference", "ours, folded, compiled", "torchvision, channels-last, compiled"): 0.90,
    ("inference", "ours, folded", "torchvision"): 0.63,
    ("inference", "ours, folded, compiled", "torchvision"): 0.56,
}
COMPILED = ", compiled"
Run = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """Settings of one process of the benchmark."""

    part: str
    variant: str
    batch: int
    size: int
    rounds: int
    threads: int
    allocator: str
    precision: str


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    precisions = [precision for precision in options.precisions if precision == "32" or multiplies_bf16()]
    print(f"native bf16: {multiplies_bf16() or 'none, not measured'}")
    results = []
    for part in options.parts:
        for precision in precisions:
            for allocator in options.allocators:
                batch = 1 if part == "single" else options.batch
                shape = (options.variant, batch, options.size, options.rounds, options.threads)
                setting = Setting(part, *shape, allocator, precision)
                results.append(measure_memory(setting) if part == "memory" else measure_time(setting))
    if options.write:
        measured = {"machine": machine(), "results": results}
        write("resnet", measured, figures(measured))


PEERS = {
    "torchvision, channels-last": "channels-last",
    "torchvision, channels-last, compiled": "channels-last, compiled",
    "torchvision": "default layout",
}
"""Columns: the peer's best forms first."""
TABLES = {"training": "training_step", "inference": "inference", "single": "inference"}


def figures(results: dict[str, Any]) -> list[Figure]:
    """Training steps and inference relative to torchvision's forms; bf16 for training alone."""
    shown = [run for run in results["results"] if run["part"] == "training" or run["precision"] == "32"]
    return [figure for run in shown if "seconds" in run for figure in _ratios(run)]


def _ratios(run: dict[str, Any]) -> list[Figure]:
    table, seconds = TABLES[run["part"]], run["seconds"]
    return [
        ratio(table, _row(run, name), column, seconds, (name, peer), _target(run["part"], run["precision"], name, peer))
        for name in seconds
        if name.startswith("ours")
        for peer, column in PEERS.items()
        if peer in seconds
    ]


def _row(run: dict[str, Any], name: str) -> str:
    words = [run["variant"].replace("resnet", "ResNet-"), *name.split(", ")[1:]]
    words += ["one image"] if run["part"] == "single" else []
    words += ["bf16"] if run["precision"] == "bf16" else []
    return ", ".join(words + (["our malloc for all"] if run["allocator"] == "raised" else []))


def _target(part: str, precision: str, name: str, peer: str) -> float | None:
    return TARGETS.get((part, name, peer)) if precision == "32" else None


def measure_time(setting: Setting) -> dict[str, Any]:
    seconds, compiling = in_fresh_process(timed, setting)
    print(f"\n{describe(setting)}, seconds: median (quartiles) of {setting.rounds}, ratios pair by pair")
    for name, values in seconds.items():
        comparisons = [compare(setting, seconds, name, peer) for peer in seconds if peer.startswith("torchvision")]
        print(f"  {name:<36} {quartiles(values)}   {'   '.join(filter(None, comparisons))}")
    for name, cost in compiling.items():
        eager = quartiles(seconds[name.removesuffix(COMPILED)]).median - quartiles(seconds[name]).median
        print(
            f"  {name}: compiled in {cost:.0f} s" + (f", paid back after {cost / eager:.0f} runs" if eager > 0 else "")
        )
    return {**asdict(setting), "seconds": seconds, "compiling": compiling}


def compare(setting: Setting, seconds: Seconds, name: str, peer: str) -> str:
    if not name.startswith("ours"):
        return ""
    compared = ratios(seconds, name, peer)
    target = _target(setting.part, setting.precision, name, peer)
    verdict = "" if target is None else f", target {target}: {'met' if compared.median <= target else 'FALLS SHORT'}"
    return f"{compared} x {peer}{verdict}"


def measure_memory(setting: Setting) -> dict[str, Any]:
    """Peak resident memory of a process that does one training step, minus that of one that only imports."""
    peaks = {name: in_fresh_process(peak_memory, setting, name) for name in ("nothing", *NETWORKS)}
    print(f"\n{describe(setting)}, peak memory of a training step, MiB beyond {peaks['nothing']:.0f}")
    for name in NETWORKS:
        print(f"  {name:<36} {peaks[name] - peaks['nothing']:.0f}")
    return {**asdict(setting), "peak_mib": peaks}


def describe(setting: Setting) -> str:
    shape = f"{setting.variant}, batch {setting.batch}, {setting.size} px, {setting.threads} threads"
    return f"{setting.part}: {shape}, precision {setting.precision}, malloc {setting.allocator}"


def in_fresh_process(function: Callable[..., Any], *arguments: object) -> Any:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def timed(setting: Setting) -> tuple[Seconds, dict[str, float]]:
    """Seconds by contestant, and seconds of compiling by compiled contestant."""
    prepare(setting)
    contestants = trainers(setting) if setting.part == "training" else predictors(setting)
    compiling = {name: seconds_of(run) for name, run in contestants.items() if name.endswith(COMPILED)}
    return alternate(contestants, setting.rounds), compiling


def peak_memory(setting: Setting, name: str) -> float:
    prepare(setting)
    if name in NETWORKS:
        trainer(setting, name)()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def prepare(setting: Setting) -> None:
    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)
    if setting.allocator == "raised":
        raise_malloc()


def raise_malloc() -> None:
    libc = ctypes.CDLL("libc.so.6")
    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    assert libc.mallopt(mmap_threshold, 1 << 30)
    assert libc.mallopt(trim_threshold, (1 << 31) - 1)


def ours(setting: Setting) -> Network:
    return build(Backbone(setting.variant), None, LinearHead, [str(number) for number in range(1000)])


def torchvisions(setting: Setting) -> nn.Module:
    import torchvision

    return getattr(torchvision.models, setting.variant)()


def torchvisions_channels_last(setting: Setting) -> nn.Module:
    return torchvisions(setting).to(memory_format=torch.channels_last)


NETWORKS: dict[str, Callable[[Setting], nn.Module]] = {
    "ours": ours,
    "torchvision, channels-last": torchvisions_channels_last,
    "torchvision": torchvisions,
}


def trainers(setting: Setting) -> dict[str, Run]:
    compiled = [name + COMPILED for name in NETWORKS if name != "torchvision"]
    return {name: trainer(setting, name) for name in (*NETWORKS, *compiled)}


def trainer(setting: Setting, name: str) -> Run:
    """A step of SGD with momentum."""
    model = NETWORKS[name.removesuffix(COMPILED)](setting)
    predict: Callable[[Tensor], Tensor] = model.run if isinstance(model, Network) else model
    predict = torch.compile(predict) if name.endswith(COMPILED) else predict
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    x, targets = images(setting, name), torch.randint(1000, (setting.batch,))

    def step() -> None:
        with autocast(setting):
            loss = nn.functional.cross_entropy(predict(x), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def predictors(setting: Setting) -> dict[str, Run]:
    folded = fold(ours(setting))
    plain, channels_last = torchvisions(setting).eval(), torchvisions_channels_last(setting).eval()
    models: dict[str, Callable[[Tensor], Tensor]] = {
        "ours, folded": folded.run,
        "ours, folded, compiled": torch.compile(folded.run),
        "torchvision": plain,
        "torchvision, channels-last": channels_last,
        "torchvision, channels-last, compiled": torch.compile(channels_last),
    }
    return {name: predictor(setting, model, images(setting, name)) for name, model in models.items()}


def predictor(setting: Setting, model: Callable[[Tensor], Tensor], x: Tensor) -> Run:
    def run() -> None:
        with torch.inference_mode(), autocast(setting):
            model(x)

    return run


def images(setting: Setting, name: str) -> Tensor:
    """Normalised images, in the layout that the contestant's loader would yield."""
    x = torch.randn(setting.batch, 3, setting.size, setting.size)
    return x if name == "torchvision" else x.contiguous(memory_format=torch.channels_last)


def autocast(setting: Setting) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=setting.precision == "bf16")


def seconds_of(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks resnet")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/resnet.json")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--variant", default="resnet50")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--allocators", nargs="+", default=["default", "raised"], choices=["default", "raised"])
    parser.add_argument("--precisions", nargs="+", default=["32", "bf16"], choices=["32", "bf16"])
    parts = ["training", "inference", "single", "memory"]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    return parser
