"""Listing a folder of images: seconds, and bytes of a sample that stay in memory, next to torchvision's ImageFolder.

python -m benchmarks listing [--write] [--counts 1000 10000 100000 1000000] [--rounds 2]

python -m benchmarks listing --large [--count 1281167]

The files, in 100 class folders, are hard links to one JPEG (to another one where the file system allows no more links);
with --rounds 1, what the system has not yet cached of the folders counts. Bytes are those that Python and NumPy hold,
counted by tracemalloc in a pass of its own, each in a separate process.

--large lists as many files as ImageNet trains on, and the same in a CSV, without a listing that was kept and with it,
each in a process of its own, and then looks every sample up in an epoch of a loader with 4 workers. What the system has
cached of the folders is left as it is: they were just written.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from benchmarks.figures import Figure, write
from benchmarks.machine import machine
from benchmarks.made import photographs
from benchmarks.resnet import in_fresh_process
from resnet_tl.data.listings.listing import ClassSet, Listing
from resnet_tl.data.loading.samplers import TrainSampler
from resnet_tl.structures.records import Draw

CLASSES, LINKS = 100, 20_000
GOAL = 200
"""Bytes a sample."""


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    if options.large:
        print("  ".join(f"{key} {value}" for key, value in machine().items()))
        large(options.count)
        return
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    measured: dict[str, Any] = {"machine": machine(), "listed": []}
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            link(Path(folder), count)
            root = str(Path(folder) / "images")
            for name in LISTERS:
                seconds = [in_fresh_process(timed, name, root) for _ in range(options.rounds)]
                record = {
                    "count": count,
                    "lister": name,
                    "seconds": seconds,
                    "bytes": in_fresh_process(held, name, root),
                }
                share = record["bytes"] / count
                print(f"  {count:>9,} files, {name:<12} {min(seconds):.3f} s, {share:.0f} bytes a sample")
                measured["listed"].append(record)
    if options.write:
        write("listing", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    cells = []
    for each in results["listed"]:
        row, goal = f"{each['count']:,} files", GOAL if each["lister"] == "resnet_tl" else None
        cells.append(Figure("listing", row, f"{each['lister']}, seconds", min(each["seconds"]), "s"))
        bytes_each = each["bytes"] / each["count"]
        cells.append(Figure("listing", row, f"{each['lister']}, bytes a sample", round(bytes_each), "", goal))
    return cells


def link(folder: Path, count: int) -> None:
    """Makes `folder/images/CLASS/N.jpg`."""
    (original,) = photographs(folder / "original", 1, size=(32, 32))
    for number in range(min(CLASSES, count)):
        (folder / "images" / f"class {number:02}").mkdir(parents=True)
    for number in range(count):
        if number % LINKS == LINKS - 1:
            original = Path(shutil.copy(original, original.with_stem(str(number))))
        os.link(original, folder / "images" / f"class {number % CLASSES:02}" / f"image {number:07}.jpg")


def large(count: int) -> None:
    from resnet_tl.data.listings.kept import SETTLED

    with tempfile.TemporaryDirectory() as folder:
        link(Path(folder), count)
        _write_table(Path(folder))
        time.sleep(SETTLED + 1)  # until then a listing is not kept
        for form in ("files", "table"):
            for state in ("cold", "warm"):
                found = in_fresh_process(listed, form, folder)
                seconds, cpu = found.pop("seconds"), found.pop("cpu")
                each = ", ".join(f"{what} {number / count:.0f}" for what, number in found.items())
                print(
                    f"  {count:,} images, {form}, {state}: {seconds:.1f} s ({cpu:.1f} s of CPU); bytes a sample: {each}"
                )
        print("  an epoch of 4 workers; MB that a process does not share, early and at the end:")
        for process, (first, last) in in_fresh_process(epoch, folder).items():
            print(f"    {process}: {first / 1e6:.1f}, {last / 1e6:.1f}")


def _write_table(folder: Path) -> None:
    root = folder / "images"
    lines = (f"{name}/{file.name},{name}\n" for name in sorted(os.listdir(root)) for file in os.scandir(root / name))
    with open(folder / "images.csv", "w") as table:
        table.write("path,label\n")
        table.writelines(lines)


def _read(form: str, folder: str) -> ClassSet:
    from resnet_tl.data.sources.folder import read_folder
    from resnet_tl.data.sources.table import read_table

    root, cache = f"{folder}/images", Path(folder, "cache")
    return read_folder(root, cache=cache) if form == "files" else read_table(f"{folder}/images.csv", root, cache=cache)


def listed(form: str, folder: str) -> dict[str, float]:
    """Seconds; and bytes: of the listing, and those resident after it, and at most, beyond those before."""
    _warm_up("resnet_tl")
    before, start, cpu = resident("VmRSS"), time.perf_counter(), time.process_time()
    found = _read(form, folder)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    gc.collect()
    return {
        "seconds": seconds,
        "cpu": cpu,
        "of the listing": sum(listing.nbytes for listing in found.splits.values()),
        "resident after it": resident("VmRSS") - before,
        "at most": resident("VmHWM") - before,
    }


class _Looked(Dataset[int]):
    def __init__(self, listing: Listing) -> None:
        self.listing = listing

    def __getitem__(self, draw: Draw) -> int:
        return len(self.listing[draw.index].path)


def _private(items: list[int]) -> tuple[int, int]:
    """The worker, and the bytes of memory that it alone has."""
    return os.getpid(), _private_bytes()


def epoch(folder: str) -> dict[str, tuple[int, int]]:
    """Private bytes after the first two batches of each of 4 workers and at the end, by process."""
    listing = _read("files", folder).splits["train"]
    sampler = TrainSampler(len(listing), seed=0, batch_size=2048)
    loader = DataLoader(_Looked(listing), 2048, sampler=sampler, num_workers=4, collate_fn=_private)
    seen: dict[int, list[int]] = {os.getpid(): []}
    for worker, private in loader:
        seen.setdefault(worker, []).append(private)
        seen[os.getpid()].append(_private_bytes())
    first, *rest = seen.values()
    workers = {f"worker {number}": (each[1], each[-1]) for number, each in enumerate(rest, 1)}
    return {"main process": (first[8], first[-1]), **workers}


def resident(name: str) -> int:
    """Bytes of this process: `VmRSS`, or `VmHWM`, the most so far."""
    return _bytes("/proc/self/status", (name,))


def _private_bytes() -> int:
    return _bytes("/proc/self/smaps_rollup", ("Private_Clean", "Private_Dirty"))


def _bytes(path: str, names: tuple[str, ...]) -> int:
    with open(path) as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.partition(":")[0] in names)


def _ours(root: str) -> object:
    from resnet_tl.data.sources.folder import read_folder

    return read_folder(root)


def _torchvisions(root: str) -> object:
    from torchvision.datasets import ImageFolder

    return ImageFolder(root)


LISTERS: dict[str, Callable[[str], object]] = {"resnet_tl": _ours, "torchvision": _torchvisions}


def timed(name: str, root: str) -> float:
    _warm_up(name)
    start = time.perf_counter()
    LISTERS[name](root)
    return time.perf_counter() - start


def held(name: str, root: str) -> int:
    """Bytes that the listing holds."""
    _warm_up(name)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    listed = LISTERS[name](root)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    del listed
    return after - before


def _warm_up(name: str) -> None:
    """Imports what the lister needs."""
    with tempfile.TemporaryDirectory() as folder:
        link(Path(folder), 4)
        LISTERS[name](f"{folder}/images")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks listing")
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--large", action="store_true", help="as many as ImageNet, and what workers add in an epoch")
    parser.add_argument("--count", type=int, default=1_281_167)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/listing.json")
    return parser
