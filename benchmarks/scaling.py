"""The constants of docs/scaling.md's model, and its predictions for 1, 2 and 4 processes against their steps.

python -m benchmarks scaling [--root FOLDER] [--write] [--rounds 12] [--variant resnet18] [--size 64] [--batch 16]

Each process is a rank on one thread, joined by gloo over this machine's loopback. It measures a core's training steps
without an exchange, the decoding of images, and all-reduces; then, as what is to be predicted, steps under
DistributedDataParallel: with images in memory, and from a loader with one worker. FOLDER holds folders of JPEG
photographs, one a class; without it they are made, of about the bytes and pixels that ImageNet's have on average.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle, islice, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from benchmarks.alternate import alternate
from benchmarks.data_path import SCALE, on_one_core, order
from benchmarks.figures import write
from benchmarks.machine import machine
from benchmarks.made import photographs
from benchmarks.resnet import in_fresh_process, seconds_of
from benchmarks.scaling_figures import figures, report
from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.images.augment import Augment
from resnet_tl.data.images.classification_dataset import ClassificationDataset
from resnet_tl.data.images.manifest import INDEX
from resnet_tl.data.images.shards import ShardFiles
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.loading.collate import collate
from resnet_tl.data.loading.shared_memory import SharedMemoryCollate
from resnet_tl.data.packing.pack import pack
from resnet_tl.data.packing.plan import files_of
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, Network, build
from resnet_tl.structures.records import Batch, Draw

RANKS = (1, 2, 4)
MADE, NOISE = 160, 26.0
FULL_SIZE = 224
"""Pixels of the crops whose decoding counts for the predictions of GPUs."""
SMALL = 2**16
"""Bytes of an all-reduce that is as good as all latency."""


@dataclass(frozen=True)
class Setting:
    """What every rank trains, and on which images."""

    root: str
    keys: list[str]
    variant: str
    size: int
    batch: int
    rounds: int


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    with tempfile.TemporaryDirectory() as folder:
        root = options.root or Path(folder) / "made"
        if options.root is None:
            photographs(root, MADE, noise=NOISE)
        files = sorted(path for path in root.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        keys = [str(path.relative_to(root)) for path in files]
        setting = Setting(str(root), keys, options.variant, options.size, options.batch, options.rounds)
        measured: dict[str, Any] = {
            "machine": machine(),
            "setting": {**{k: v for k, v in asdict(setting).items() if k not in ("root", "keys")}, "images": len(keys)},
            "made": options.root is None,
            "image_bytes": statistics.mean(path.stat().st_size for path in files),
            "gradients": {name: in_fresh_process(gradient_bytes, name) for name in (options.variant, "resnet50")},
            "decode": in_fresh_process(seconds_of_decoding, setting, FULL_SIZE),
            "shards": in_fresh_process(read_shards, str(root), folder),
            "ranks": [],
        }
        for ranks in RANKS:
            print(f"{ranks} processes", flush=True)
            measured["ranks"].append({"ranks": ranks, **run(setting, ranks, f"{folder}/{ranks}")})
    print(report(measured))
    if options.write:
        write("scaling", measured, figures(measured))


def run(setting: Setting, ranks: int, rendezvous: str) -> dict[str, Any]:
    """Measures on `ranks` processes; values are rank 0's where ranks wait for each other, else means over ranks."""
    with ProcessPoolExecutor(ranks, get_context("spawn")) as pool:
        futures = [pool.submit(measure, setting, rank, ranks, rendezvous) for rank in range(ranks)]
        results = [future.result() for future in futures]
    alone = {name: statistics.mean(each[name] for each in results) for name in ("compute", "decode")}
    return {**results[0], **alone}


def measure(setting: Setting, rank: int, ranks: int, rendezvous: str) -> dict[str, Any]:
    """Measures on one of the ranks: medians of rounds, in seconds."""
    on_one_core()
    torch.manual_seed(0)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=ranks)
    parallel = DistributedDataParallel(network_of(setting.variant), gradient_as_bucket_view=True)
    memory, loaded = images_in_memory(setting), images_of_a_loader(setting)
    gradients = torch.zeros(gradient_bytes(setting.variant) // 4)
    decode = seconds_of_decoding(setting, setting.size)
    dist.barrier()
    contestants = {
        "compute": trainer(network_of(setting.variant), memory),
        "all_reduce_small": lambda: dist.all_reduce(gradients[: SMALL // 4]),
        "all_reduce": lambda: dist.all_reduce(gradients),
        "step": trainer(parallel, memory),
    }
    seconds = {name: statistics.median(each) for name, each in alternate(contestants, setting.rounds).items()}
    measured = {**seconds, "decode": decode, "step_loaded": timed(trainer(parallel, loaded), setting.rounds, warm_up=4)}
    dist.barrier()
    dist.destroy_process_group()
    return measured


def timed(run: Callable[[], object], rounds: int, warm_up: int) -> float:
    """Returns the median, of rounds that all ranks begin together and after some that do not count."""
    dist.barrier()
    for _ in range(warm_up):
        run()
    return statistics.median(seconds_of(run) for _ in range(rounds))


def network_of(variant: str) -> Network:
    return build(Backbone(variant), None, LinearHead, [str(number) for number in range(1000)])


def gradient_bytes(variant: str) -> int:
    """Of 1,000 classes, in 32 bits."""
    return sum(4 * parameter.numel() for parameter in network_of(variant).parameters())


def trainer(network: nn.Module, batches: Iterator[Tensor]) -> Callable[[], None]:
    """A step of SGD with momentum, on the next batch."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        images = next(batches)
        loss = nn.functional.cross_entropy(network(images), torch.zeros(len(images), dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def images_in_memory(setting: Setting) -> Iterator[Tensor]:
    images = torch.randint(0, 256, (setting.batch, 3, setting.size, setting.size), dtype=torch.uint8)
    return repeat(images.contiguous(memory_format=torch.channels_last))


def images_of_a_loader(setting: Setting) -> Iterator[Tensor]:
    """From a worker that decodes and augments, as in a run; it starts with the first batch."""
    needed = (setting.rounds + 10) * setting.batch
    draws = [Draw(0, index) for index in islice(cycle(order(len(setting.keys))), needed)]
    loader: DataLoader[Batch] = DataLoader(
        dataset_of(setting, setting.size),
        batch_size=setting.batch,
        sampler=draws,
        collate_fn=SharedMemoryCollate(collate),
        num_workers=1,
        worker_init_fn=on_one_core,
    )
    return (batch.images for batch in loader)


def seconds_of_decoding(setting: Setting, size: int) -> float:
    """Seconds of an image in this process: read, decoded, cropped, flipped, collated."""
    on_one_core()
    dataset = dataset_of(setting, size)
    draws = [Draw(0, index) for index in order(len(setting.keys))]
    batches = [draws[first : first + setting.batch] for first in range(0, len(draws), setting.batch)]

    def decode(batch: list[Draw]) -> Callable[[], object]:
        return lambda: collate([dataset[draw] for draw in batch])

    decode(batches[0])()
    return statistics.median(seconds_of(decode(batch)) / len(batch) for batch in batches)


def dataset_of(setting: Setting, size: int) -> ClassificationDataset:
    listing = Listing.of(setting.root, setting.keys, [0] * len(setting.keys))
    return ClassificationDataset(listing, Augment(size, SCALE, "bilinear"))


def read_shards(root: str, folder: str) -> dict[str, float]:
    """Packs the images, and reads them from the shards, which the system has cached: bytes, and seconds of a core."""
    data = ImageFolder(root=root)
    pack(data, f"{folder}/packed", shard_mb=4, workers=1)
    files = ShardFiles(f"{folder}/packed/{INDEX}")
    listings = [listing for listing in data.images.splits.values() if len(listing)]
    members = [name for each in listings for row in range(len(each)) for name, _ in files_of(each, row)]
    size = sum(len(files.read(member)) for member in members)
    seconds = min(seconds_of(lambda: [files.read(member) for member in members]) for _ in range(5))
    return {"bytes": size, "seconds": seconds}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, help="folder of photographs, root/<class>/*.jpg")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--variant", default="resnet18")
    parser.add_argument("--size", type=int, default=64, help="pixels of the images that are trained on")
    parser.add_argument("--batch", type=int, default=16, help="images of a process's step")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/scaling.json")
    return parser
