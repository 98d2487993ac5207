"""An epoch of training images from a folder, from shards on a disk, from a store and from its cache; next to WebDataset
and torchvision's ImageFolder.

python -m benchmarks streaming [--write] [--rounds 5] [--count 3200] [--shard-mb 8] [--batch 32] [--workers 2]

The store is a server of the S3 protocol (moto) in a process of its own on the same machine. It takes CPU time from the
loaders, which a store elsewhere does not: its seconds are measured apart. Everything else is equal for all: made JPEGs
of 50 kB, our decoder and augmentation, batches of bytes, as many worker processes. WebDataset reads tars of as many
images as the shards have, those of the store by curl, and shuffles 1000 images at a time. A round is an epoch of each
contestant, whose workers start with it: from the store always with an empty cache, from the cache after a first epoch.

CPU time is that of the loading process and its workers (and WebDataset's curl), and the figure to look at on a machine
that does other work, too.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from benchmarks.alternate import Seconds, quartiles, ratios
from benchmarks.data_path import on_one_core
from benchmarks.figures import Figure, write
from benchmarks.machine import machine
from benchmarks.made import photographs
from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.images.archive import open_archive
from resnet_tl.data.images.decode import decode, decode_bytes
from resnet_tl.data.images.transforms import training_transform
from resnet_tl.data.packing.pack import pack
from resnet_tl.data.shards import Shards

SIZE, STRENGTH, SHUFFLED = 224, "medium", 1000
BUCKET = "photos"
FOLDER = "folder"
GOALS = {"shards, from the store": 0.9, "shards, from the cache": 0.98}
"""Images a second, as a multiple of those from the folder."""
Epoch = Callable[[], Iterable[Any]]
"""Returns a loader; what it does before it is iterated is not timed."""


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    on_one_core()
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    with tempfile.TemporaryDirectory() as folder, store() as server:
        contestants = made(Path(folder), options)
        measured = alternated(contestants, options.rounds, server, options.count)
    results = {"machine": machine(), "images": options.count, "workers": options.workers, **measured}
    report(results)
    if options.write:
        write("streaming", results, figures(results))


def made(folder: Path, options: argparse.Namespace) -> dict[str, Epoch]:
    """Makes the images, shards and tars, here and in the store; returns the contestants."""
    photographs(folder / "images/train", options.count)
    photographs(folder / "images/val", 8)
    how = {"image_size": SIZE, "augment": STRENGTH, "batch_size": options.batch, "num_workers": options.workers}
    files = ImageFolder(str(folder / "images"), seed=1, **how)
    packed = pack(files, str(folder / "packed"), shard_mb=options.shard_mb)
    shards = sum(shard.name.startswith("train/") for shard in packed.shards)
    print(f"{options.count} images in {shards} shards and as many tars, {options.workers} workers")
    tars = write_tars(folder / "tars", sorted((folder / "images/train").rglob("*.jpg")), shards)
    upload([folder / "packed", folder / "tars"])
    addresses = [_filesystem().sign(f"{BUCKET}/tars/{Path(tar).name}", 86_400) for tar in tars]
    packs, caches = partial(Shards, seed=1, **how), map(str, map(folder.joinpath, map("cache{}".format, count())))
    kept = next(caches)

    def opened(root: str, cache: str | None = None) -> Iterable[Any]:
        open_archive.cache_clear()
        return packs(root, cache_dir=cache).train_dataloader()

    remote = f"s3://{BUCKET}/packed"
    webdataset = partial(webdatasets, batch=options.batch, workers=options.workers)
    return {
        FOLDER: files.train_dataloader,
        "shards, on the disk": lambda: opened(str(folder / "packed")),
        "shards, from the store": lambda: opened(remote, next(caches)),
        "shards, from the cache": lambda: opened(remote, kept),
        "WebDataset, on the disk": lambda: webdataset(tars),
        "WebDataset, from the store": lambda: webdataset(addresses),
        "torchvision's ImageFolder": lambda: torchvisions(folder / "images/train", options),
    }


def write_tars(folder: Path, paths: list[Path], number: int) -> list[str]:
    """Distributes the images over tars, shuffled, as `KEY.jpg` and `KEY.cls`."""
    folder.mkdir()
    tars = []
    for part, rows in enumerate(np.array_split(np.random.default_rng(0).permutation(len(paths)), number)):
        tars.append(str(folder / f"train-{part:06}.tar"))
        with tarfile.open(tars[-1], "w") as tar:
            for row in rows.tolist():
                contents = {"jpg": paths[row].read_bytes(), "cls": paths[row].parent.name.encode()}
                for ending, content in contents.items():
                    member = tarfile.TarInfo(f"{row:07}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return tars


def webdatasets(tars: list[str], *, batch: int, workers: int) -> Iterable[Any]:
    import webdataset

    transform, seeds = training_transform(STRENGTH, SIZE), np.random.default_rng()

    def prepared(sample: tuple[bytes, bytes]) -> tuple[Any, int]:
        image = decode_bytes(sample[0], "a member")
        return transform(image, image.shape[:2], (int(seeds.integers(1 << 62)),))[0], int(sample[1])

    read = webdataset.WebDataset(tars, shardshuffle=len(tars), seed=1).shuffle(SHUFFLED).to_tuple("jpg", "cls")
    return _loader(read.map(prepared), batch, workers)


def torchvisions(root: Path, options: argparse.Namespace) -> Iterable[Any]:
    from torchvision.datasets import ImageFolder

    transform, seeds = training_transform(STRENGTH, SIZE), np.random.default_rng()

    def prepared(image: np.ndarray) -> Any:
        return transform(image, (image.shape[0], image.shape[1]), (int(seeds.integers(1 << 62)),))[0]

    return _loader(ImageFolder(str(root), prepared, loader=decode), options.batch, options.workers, shuffle=True)


def _loader(dataset: Any, batch: int, workers: int, **options: Any) -> Iterable[Any]:
    return DataLoader(dataset, batch, num_workers=workers, worker_init_fn=on_one_core, **options)


def alternated(contestants: dict[str, Epoch], rounds: int, server: int, images: int) -> dict[str, Seconds]:
    """Seconds of each epoch by the clock, of CPU time here and of CPU time of the server, after an epoch of each that
    does not count."""
    measured: dict[str, Seconds] = {kind: {name: [] for name in contestants} for kind in ("seconds", "cpu", "server")}
    for number in range(rounds + 1):
        for name, epoch in contestants.items():
            loader = epoch()
            before = time.perf_counter(), _cpu(), _cpu_of(server)
            seen = sum(map(_length, loader))
            del loader
            after = time.perf_counter(), _cpu(), _cpu_of(server)
            assert images - seen <= 1, "an epoch has all images, but for a last batch of one"
            if number:
                for kind, start, end in zip(measured, before, after, strict=True):
                    measured[kind][name].append(end - start)
    return measured


def _length(batch: Any) -> int:
    return len(batch[0] if isinstance(batch, (list, tuple)) else batch.indices)


def _cpu() -> float:
    """Seconds of this process and of those it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def store() -> Iterator[int]:
    """Starts a server and makes it the store of this process; yields the server's."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.1)
            os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
            os.environ |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
            yield server.pid
        finally:
            server.terminate()


def upload(folders: list[Path]) -> None:
    filesystem = _filesystem()
    filesystem.makedirs(BUCKET)
    for folder in folders:
        filesystem.put(str(folder), f"{BUCKET}/{folder.name}", recursive=True)


def _filesystem() -> Any:
    import s3fs

    return s3fs.S3FileSystem()


def figures(results: dict[str, Any]) -> list[Figure]:
    cells = []
    for name, seconds in results["seconds"].items():
        speed = [results["images"] / each for each in seconds]
        low, median, high = quartiles(speed)
        cells.append(Figure("streaming", name, "images/s", round(median), "images/s", None, "higher", low, high))
        if name != FOLDER:
            for kind, column in (("seconds", "as a multiple"), ("cpu", "images by CPU time, as a multiple")):
                low, median, high = ratios(results[kind], FOLDER, name)
                goal = GOALS.get(name) if kind == "seconds" else None
                cells.append(Figure("streaming", name, column, median, "×", goal, "higher", low, high))
    return cells


def report(results: dict[str, Any]) -> None:
    print("\nimages/s, median (quartiles); as a multiple of the folder's; CPU ms an image, as a multiple; the server's")
    for name, seconds in results["seconds"].items():
        low, median, high = sorted(results["images"] / value for value in quartiles(seconds))
        times = {kind: 1000 * quartiles(results[kind][name]).median / results["images"] for kind in ("cpu", "server")}
        by_clock, by_cpu = (ratios(results[kind], FOLDER, name) for kind in ("seconds", "cpu"))
        goal = GOALS.get(name)
        verdict = "" if goal is None else f", goal {goal}: {'met' if by_clock.median >= goal else 'FALLS SHORT'}"
        print(f"  {name:<28} {median:5.0f} ({low:.0f}-{high:.0f}), {by_clock} x{verdict}")
        print(f"  {'':<28} {times['cpu']:.2f} ms, {by_cpu} x; server {times['server']:.2f} ms")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks streaming")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=3200)
    parser.add_argument("--shard-mb", type=float, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/streaming.json")
    return parser
