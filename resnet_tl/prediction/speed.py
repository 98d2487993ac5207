"""How fast networks are on this machine, next to each other: checkpoints, folded and compiled, and exported files.

What is timed is the network alone, from bytes in memory to predictions: no decoding, no resizing.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.resize import resize
from resnet_tl.errors import DataError
from resnet_tl.prediction.exported.network import AnyNetwork, ExportedNetwork
from resnet_tl.prediction.inputs import Listed, at_least_one, spread
from resnet_tl.prediction.load import AnyPredictor, load
from resnet_tl.prediction.members import read_network

ROUNDS, LEAST = 200, 3
WARM_UP = 2
IMAGES = 64
"""Images at most, spread evenly over those that are given."""
ENOUGH = {"p50": 1, "p95": 20, "p99": 100}
"""Runs without which a percentile says nothing."""
COMPILED = "compiled"
RUNTIMES = ("torch", "onnxruntime", "openvino")
"""Packages whose versions are reported where they are in use."""


@dataclass(frozen=True)
class Speed:
    """The times of one network with batches of one size.

    form: `checkpoint`, `folded`, `compiled` (and folded) or `exported`. pixels: (h, w) of its input.
    seconds: of each run, in order. compile_seconds: of the first run, if it compiles.
    """

    model: str
    form: str
    batch_size: int
    pixels: tuple[int, int]
    seconds: list[float]
    compile_seconds: float | None

    @property
    def images_per_second(self) -> float:
        return self.batch_size * len(self.seconds) / sum(self.seconds)

    def milliseconds(self, percentile: str) -> float | None:
        """Returns a percentile of the runs, one of `ENOUGH`; None if they are too few."""
        if len(self.seconds) < ENOUGH[percentile]:
            return None
        return 1000 * float(np.percentile(self.seconds, int(percentile[1:])))


@dataclass(frozen=True)
class Comparison:
    """machine: processor, cores, threads, versions. speeds: by batch size, in the order of the models."""

    machine: dict[str, str | int]
    speeds: list[Speed]
    notes: list[str]


@dataclass(frozen=True)
class _Contender:
    """A network that takes images `[N, C, h, w]` and returns predictions."""

    model: str
    form: str
    predictor: AnyPredictor
    network: AnyNetwork
    run: Callable[[Tensor], Any]

    def __call__(self, images: Tensor) -> Any:
        return self.network.head.predict(self.run(images))

    def __str__(self) -> str:
        return f"{self.model} ({self.form})"


def compare_speed(
    models: Sequence[str | Path],
    images: Sequence[Listed],
    *,
    batch_sizes: Sequence[int] = (1, 4, 16),
    size: tuple[int, int] | None = None,
    seconds: float = 20.0,
    compiled: bool = True,
    trust_code: bool = False,
) -> Comparison:
    """Times networks in turn, A B A B ..., so that other load on the machine slows all alike.

    Args:
        models: as `load` takes them.
        images: the same for all; in batches of the size that most of them have after preprocessing.
        size: (h, w) to resize the images to; None: the preprocessing of validation.
        seconds: to spend on each network and batch size, unless it has run `ROUNDS` times before.
        compiled: whether to compile checkpoints, too.

    Raises:
        WeightsError: see `load`. DataError: an image cannot be used.
    """
    for batch_size in batch_sizes:
        at_least_one("batch_sizes", batch_size)
    contenders = [each for model in models for each in _contenders(model, compiled, trust_code)]
    chosen, notes = spread(images, IMAGES), _one_by_one(contenders, max(batch_sizes))
    predictors = {each.model: each.predictor for each in contenders}
    pixels = {model: _pixels(predictor, chosen, size) for model, predictor in predictors.items()}
    speeds: list[Speed] = []
    for batch_size in batch_sizes:
        batches = {model: _batches(every, batch_size) for model, every in pixels.items()}
        speeds += _measure(contenders, batches, seconds, notes)
    if others := len(chosen) - min(map(len, pixels.values())):
        notes.append(f"{others} of {len(chosen)} images have another size than most and are not used; see --size")
    return Comparison(machine(), speeds, [*notes, *_unknown(speeds)])


def use_threads(number: int) -> None:
    """Sets how many threads networks use, those that are loaded from now on."""
    torch.set_num_threads(number)


def machine() -> dict[str, str | int]:
    """Returns the processor, its cores, the threads of a network, and versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    versions = {name: version(name) for name in RUNTIMES if name in sys.modules}
    found: dict[str, str | int] = {"processor": processor(), "cores": cores, "threads": torch.get_num_threads()}
    return {**found, "python": platform.python_version(), **versions}


def processor() -> str:
    """Returns the name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _contenders(model: str | Path, compiled: bool, trust_code: bool) -> Iterator[_Contender]:
    predictor, name = load(model, trust_code=trust_code), str(model)
    folded = predictor.network
    if isinstance(folded, ExportedNetwork):
        yield _Contender(name, "exported", predictor, folded, folded)
        return
    network = read_network(model, trust_code)[1].eval()
    yield _Contender(name, "checkpoint", predictor, network, network)
    yield _Contender(name, "folded", predictor, folded, folded)
    if compiled:
        fast = cast("Callable[[Tensor], Any]", torch.compile(folded, dynamic=False))
        yield _Contender(name, COMPILED, predictor, folded, fast)


def _one_by_one(contenders: Sequence[_Contender], largest: int) -> list[str]:
    """Returns a note about each graph that takes fewer images than a batch has."""
    limits = [
        (each, each.network.description.batch) for each in contenders if isinstance(each.network, ExportedNetwork)
    ]
    return [
        f"{each} takes {limit} image{'s' if limit > 1 else ''} at a time: it runs several times for a larger batch"
        for each, limit in limits
        if limit is not None and limit < largest
    ]


class _Resized:
    """Resizes whole images to one size."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, image: ImageArray, original: tuple[int, int], seed: Seed) -> ImageArray:
        """`[H, W, C]` -> one view `[1, h, w, C]`."""
        return resize(image, *self.size)[None]

    def reduction(self, original: tuple[int, int], seed: Seed) -> int:
        return 1


def _pixels(predictor: AnyPredictor, images: Sequence[Listed], size: tuple[int, int] | None) -> Tensor:
    """Returns the images of the commonest size, `[n, C, h, w]`."""
    loader = predictor.loader if size is None else replace(predictor.loader, transform=_Resized(size))
    inputs = [each for batch in loader.batches(images, 1, "error") for each in batch]
    if not inputs:
        raise DataError("benchmark needs images, and there are none")
    return predictor.stack(max(predictor.groups(inputs), key=len))


def _batches(pixels: Tensor, batch_size: int) -> list[Tensor]:
    """Returns batches of all images; where they end, they start again."""
    starts = range(0, len(pixels), batch_size)
    each = (pixels[torch.arange(start, start + batch_size) % len(pixels)] for start in starts)
    return [batch.contiguous(memory_format=torch.channels_last) for batch in each]


@torch.inference_mode()
def _measure(
    contenders: Sequence[_Contender], batches: dict[str, list[Tensor]], seconds: float, notes: list[str]
) -> list[Speed]:
    """Times batches of one size; adds a note about each network that cannot run."""
    running: list[tuple[_Contender, Speed]] = []
    for each in contenders:
        try:
            running.append((each, _first_run(each, batches[each.model][0])))
        except torch._dynamo.exc.TorchDynamoException as error:
            notes.append(f"{each} has no row, because torch.compile fails: {str(error).strip().splitlines()[0]}")
    end = time.perf_counter() + seconds * len(running)
    for number in range(WARM_UP + ROUNDS):
        for each, speed in running:
            every = batches[each.model]
            taken = _time(each, every[number % len(every)])
            if number >= WARM_UP:
                speed.seconds.append(taken)
        if number >= WARM_UP + LEAST - 1 and time.perf_counter() > end:
            break
    return [speed for _, speed in running]


def _first_run(contender: _Contender, images: Tensor) -> Speed:
    taken = _time(contender, images)
    size, compiles = (images.shape[-2], images.shape[-1]), contender.form == COMPILED
    return Speed(contender.model, contender.form, len(images), size, [], taken if compiles else None)


def _time(contender: _Contender, images: Tensor) -> float:
    start = time.perf_counter()
    contender(images)
    return time.perf_counter() - start


def _unknown(speeds: Sequence[Speed]) -> list[str]:
    """Returns a note about percentiles that some networks have run too rarely for."""
    fewest = min((len(speed.seconds) for speed in speeds), default=0)
    needed = [f"{name} needs {runs} runs" for name, runs in ENOUGH.items() if runs > fewest]
    return [f"blank where there were fewer: {', '.join(needed)}; --seconds gives more time"] if needed else []
