"""The listing of a large set on disk: a million files, or lines of a table, are listed once until something changes.

What was kept counts as long as the folders, or the zip or table, that decide about it have the times of change, the
inodes and the sizes of then: a file that appears, goes or is renamed changes its folder. The content of images is not
part of a listing.
"""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from resnet_tl.data.images.key_hash import hash64
from resnet_tl.data.listings.faults import are_kept
from resnet_tl.data.listings.listing import ClassSet, Listing
from resnet_tl.data.listings.rows import Rows
from resnet_tl.files import atomic_create

FORMAT = 2
"""Also of what sources make of the same files: another number where that changes."""
LEAST = 50_000
"""Images, below which listing takes no longer than reading what was kept, a fraction of a second."""
SETTLED = 60.0
"""Seconds without a change before a listing that is kept: times of change are no finer than some milliseconds, and the
clock of a file server may be another."""
THREADS = 16
MASK = 2**63 - 1
"""Of 64 bits, those that int64 holds."""

log = logging.getLogger("resnet_tl")


def kept_listing(identity: Any, read: Callable[[], tuple[ClassSet, Sequence[str]]], folder: Path) -> ClassSet:
    """Returns the set that `read` returns, or what was kept of it.

    Args:
        identity: what decides about the set besides its files, as plain Python and paths.
        read: lists the set, and returns it with the paths of the folders and files that change with it; of a set that
            is not to be kept, with none.
        folder: of the cache. Any number of processes may use it at the same time.
    """
    path = folder / f"{hash64(json.dumps([FORMAT, identity], default=os.fspath)):016x}.listing"
    found = _load(path)
    if found is not None:
        count = sum(map(len, found.splits.values()))
        log.info(f"{found.root}: {count:,} images, listed before and unchanged since")
        return found
    start = time.time()
    found, decisive = read()
    if decisive and _is_plain(found) and not are_kept():
        states = _states(decisive)
        if states is not None and states[:, :2].max() < (start - SETTLED) * 1e9:
            _save(path, found, decisive, states)
    return found


def _is_plain(images: ClassSet) -> bool:
    """Whether a set is large, and nothing but what is kept of one."""
    more = images.faults or images.remarks or images.groups
    return not more and sum(map(len, images.splits.values())) >= LEAST


def _states(paths: Sequence[str]) -> np.ndarray | None:
    """Returns times of change in nanoseconds (of content, and of anything), inode and size of each, `[N, 4]` int64;
    None if one does not exist."""
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            states = list(pool.map(os.stat, paths))
    except OSError:
        return None
    return np.array([(s.st_mtime_ns, s.st_ctime_ns, s.st_ino & MASK, s.st_size) for s in states], np.int64)


def _save(path: Path, images: ClassSet, decisive: Sequence[str], states: np.ndarray) -> None:
    content = {name: getattr(images, name) for name in ("root", "classes", "notes", "multi_label")}
    roots = {name: listing.root for name, listing in images.splits.items()}
    header = json.dumps({**content, "splits": roots, "decisive": list(decisive)}, default=os.fspath)
    arrays = {"header": np.frombuffer(header.encode(), np.uint8), "states": states}
    for number, listing in enumerate(images.splits.values()):
        targets = listing.targets
        arrays |= {f"keys{number}": listing._keys.values, f"ends{number}": listing._keys.offsets}
        if isinstance(targets, Rows):
            arrays |= {f"targets{number}": targets.values, f"target_ends{number}": targets.offsets}
        else:
            arrays[f"targets{number}"] = targets
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_create(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub wants the flag allow_pickle among them
    except OSError as error:
        warnings.warn(f"{path}: not written ({error.strerror}); {images.root} is listed at every start", stacklevel=2)


def _load(path: Path) -> ClassSet | None:
    """Returns the set; None where none was kept, or it has changed, or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            states = _states(header["decisive"])
            if states is None or not np.array_equal(states, file["states"]):
                return None
            roots = header["splits"].items()
            splits = {name: _listing(root, file, number) for number, (name, root) in enumerate(roots)}
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile):
        return None
    return ClassSet(header["root"], header["classes"], splits, header["notes"], multi_label=header["multi_label"])


def _listing(root: str, file: Any, number: int) -> Listing:
    targets: Any = file[f"targets{number}"]
    if f"target_ends{number}" in file:
        targets = Rows(targets, file[f"target_ends{number}"])
    return Listing(root, Rows(file[f"keys{number}"], file[f"ends{number}"]), targets)
