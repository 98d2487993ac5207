"""Listing a folder of images: seconds, and bytes of a sample that stay in memory, next to torchvision's ImageFolder.

python -m benchmarks listing [--write] [--counts 1000 10000 100000 1000000] [--rounds 2]

The files, in 100 class folders, are hard links to one JPEG (to another one where the file system allows no more links);
with --rounds 1, what the system has not yet cached of the folders counts. Bytes are those that Python and NumPy hold,
counted by tracemalloc in a pass of its own, each in a separate process.
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

from benchmarks.figures import Figure, write
from benchmarks.machine import machine
from benchmarks.made import photographs
from benchmarks.resnet import in_fresh_process

CLASSES, LINKS = 100, 20_000
GOAL = 200
"""Bytes a sample."""


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
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
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/listing.json")
    return parser
