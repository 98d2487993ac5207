"""From files to a batch: decode, random crop, resize to 224, flip, collate; compared with torchvision and timm.

python -m benchmarks data_path [--root FOLDER] [--write] [--rounds 20] [--count N] [--batch 32] [--workers 1]

FOLDER holds JPEG photographs at any depth; without one, 400 are made. Every contestant crops 8 to 100 % of the area and
resizes it bilinearly (the peers antialiased, as is their default; ours as its presets do), in one worker process of a
DataLoader, or with --workers 0 in this process. All get the images in one order; a round is one pass over them.
Reduced: JPEGs are decoded at 1/2, 1/4 or 1/8 where the area keeps its pixels. Cached: from the images of `data.cache:
resized`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision
from timm.data import create_transform
from timm.data.loader import fast_collate
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.datasets.folder import default_loader
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

from benchmarks.alternate import Seconds, alternate, quartiles, ratios
from benchmarks.figures import Figure, ratio, write
from benchmarks.machine import machine
from benchmarks.made import photographs
from resnet_tl.data.images.augment import Augment
from resnet_tl.data.images.cache import CacheFormat, open_cache
from resnet_tl.data.images.classification_dataset import ClassificationDataset
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.loading.collate import collate
from resnet_tl.data.loading.shared_memory import SharedMemoryCollate
from resnet_tl.structures.records import Draw

SIZE, MADE = 224, 400
SCALE = (0.08, 1.0)
TARGETS = {
    ("ours", "torchvision, PIL, floats"): 2.0,
    ("ours", "torchvision, tensors, uint8"): 1.25,
    ("ours", "timm, PIL, uint8"): 1.5,
    ("ours, cached", "torchvision, PIL, floats"): 10.0,
}
PEERS = {
    "torchvision, PIL, floats": "torchvision, PIL",
    "torchvision, tensors, uint8": "torchvision, tensors",
    "timm, PIL, uint8": "timm",
}
Run = Callable[[], object]
Passes = Callable[[Dataset[Any], Iterable[Any], Callable[[Any], Any]], Run]


class Files(Dataset[tuple[Any, int]]):
    """A peer's dataset: opens and transforms a file as the peer does."""

    def __init__(self, paths: list[str], transform: Callable[[Any], Any], load: Callable[[str], Any]) -> None:
        self.paths, self.transform, self.load = paths, transform, load

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.load(self.paths[index])), 0


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    on_one_core()
    print("  ".join(f"{key} {value}" for key, value in machine().items()), f" opencv {cv2.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        root = options.root or Path(folder) / "made"
        if options.root is None:
            photographs(root, options.count or MADE)
        files = (path for path in root.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        keys = sorted(str(path.relative_to(root)) for path in files)[: options.count]
        how = partial(passes, batch=options.batch, workers=options.workers)
        contestants = {**ours(root, keys, Path(folder), how), **peers(root, keys, how)}
        seconds = alternate(contestants, options.rounds)
    report(seconds, len(keys), options.workers)
    if options.write:
        measured = {"machine": machine(), "made": options.root is None, "images": len(keys), "seconds": seconds}
        write("data_path", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    """Images a second relative to the peers'."""
    seconds = results["seconds"]
    return [
        ratio("data_path", PEERS[peer], column, seconds, (peer, name), TARGETS.get((name, peer)), "higher")
        for name, column in (("ours", "ours"), ("ours, cached", "ours, from the cache of resized images"))
        for peer in PEERS
    ]


def report(seconds: Seconds, count: int, workers: int) -> None:
    print(
        f"\n{count} images, {workers} workers: images/s, median (quartiles) of {len(seconds['ours'])}; "
        "times as fast as others, pair by pair"
    )
    for name, values in seconds.items():
        low, median, high = sorted(count / value for value in quartiles(values))
        print(f"  {name:<28} {median:6.0f} ({low:.0f}-{high:.0f})")
        for peer in seconds:
            if name.startswith("ours") and name != peer and (peer == "ours" or not peer.startswith("ours")):
                print(f"  {'':<28}   {compare(seconds, name, peer)}")


def compare(seconds: Seconds, name: str, peer: str) -> str:
    compared = ratios(seconds, peer, name)
    target = TARGETS.get((name, peer))
    verdict = "" if target is None else f", target {target}: {'met' if compared.median >= target else 'FALLS SHORT'}"
    return f"{compared} x {peer}{verdict}"


def ours(root: Path, keys: list[str], folder: Path, passes: Passes) -> dict[str, Run]:
    listing = Listing.of(str(root), keys, [0] * len(keys))
    transform = Augment(SIZE, SCALE, "bilinear")
    dataset = partial(ClassificationDataset, listing, transform)
    sets = {
        "ours": dataset(),
        "ours, reduced": dataset(reduce=True),
        "ours, cached": dataset(cache=open_cache([listing], CacheFormat(round(SIZE / 0.875)), folder)),
    }
    draws = [Draw(0, index) for index in order(len(keys))]
    return {name: passes(each, draws, SharedMemoryCollate(collate)) for name, each in sets.items()}


def peers(root: Path, keys: list[str], passes: Passes) -> dict[str, Run]:
    paths = [str(root / key) for key in keys]
    crop = partial(v2.RandomResizedCrop, SIZE, SCALE)
    floats = v2.Compose(
        [
            crop(),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    tensors = v2.Compose([crop(antialias=True), v2.RandomHorizontalFlip()])
    timms = create_transform(SIZE, is_training=True, scale=SCALE, color_jitter=None, use_prefetcher=True)
    sets: dict[str, tuple[Files, Callable[[Any], Any]]] = {
        "torchvision, PIL, floats": (Files(paths, floats, default_loader), default_collate),
        "torchvision, tensors, uint8": (Files(paths, tensors, read_tensor), default_collate),
        "timm, PIL, uint8": (Files(paths, timms, default_loader), fast_collate),
    }
    return {name: passes(files, order(len(keys)), how) for name, (files, how) in sets.items()}


def read_tensor(path: str) -> Tensor:
    return decode_image(torchvision.io.read_file(path), ImageReadMode.RGB)


def order(count: int) -> list[int]:
    return np.random.default_rng(0).permutation(count).tolist()


def passes(dataset: Dataset[Any], draws: Iterable[Any], how: Callable[[Any], Any], *, batch: int, workers: int) -> Run:
    """One pass over the images; workers stay alive between passes."""
    loader = DataLoader(
        dataset,
        batch_size=batch,
        sampler=draws,
        collate_fn=how,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=on_one_core,
    )
    return lambda: [None for _ in loader]


def on_one_core(worker: int = 0) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks data_path", description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, help="folder of JPEG photographs")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--count", type=int, help="use only this many of the images")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/data_path.json")
    return parser
