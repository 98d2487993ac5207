"""Packs a set of images into LitData's shards."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from hashlib import sha256
from pathlib import Path
from typing import Any

from resnet_tl.data.base import ImageData
from resnet_tl.data.images.manifest import FORMAT, MANIFEST, Manifest
from resnet_tl.data.listings.listing import ClassSet, ImageSet
from resnet_tl.data.listings.stored import task_of
from resnet_tl.data.packing.destination import WORK, Destination
from resnet_tl.data.packing.plan import Plan, PlannedShard, plan_shards
from resnet_tl.data.packing.resized import Shrink
from resnet_tl.data.packing.shard import WrittenShard, write_shard
from resnet_tl.data.sources.shards import PLAN, index_files
from resnet_tl.errors import RecipeError, RunError
from resnet_tl.extras import require

Progress = Callable[[int, int], None]


def pack(
    data: ImageData,
    root: str,
    *,
    shard_mb: float = 256,
    resize: int | None = None,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Manifest:
    """Packs the images that `data` has read, in the splits of their source.

    A pack that was killed goes on with the shards that are missing. Each shard is verified when all are there, and the
    manifest is written last.

    Args:
        root: a folder that is empty, does not exist, or has an unfinished pack of the same images; or such an address.
        shard_mb: MB (10^6 bytes) of a shard, about.
        resize: the short side in pixels to which larger images are reduced; None: all files are kept as they are.
        workers: shards that are written at a time; each needs three times its length of memory. None: one per core, at
            most 4.
        progress: called with the images that are packed, and all.

    Raises:
        RunError: LitData is not installed, something else lies at `root`, or a shard is not as it was written.
        RecipeError: images of `data.replay`, which shards do not keep.
        DataError: a file cannot be read.
    """
    require("packing", "litdata", extra="shards")
    _check_keepable(data.images)
    destination = Destination(root)
    _check_outside(destination, data.root)
    with destination.claimed():
        return _pack(data, destination, int(shard_mb * 1e6), resize, workers or min(4, os.cpu_count() or 1), progress)


def _pack(
    data: ImageData, destination: Destination, shard_bytes: int, resize: int | None, workers: int, progress: Progress
) -> Manifest:
    names, root = destination.names(), destination.root
    if MANIFEST in names:
        raise RunError(f"{root}: holds a packed set already, and nothing is overwritten")
    if PLAN not in names and any(not name.startswith(WORK) for name in names):
        raise RunError(f"{root}: is not empty; expected a new folder, or an unfinished pack of the same images")
    shrink = None if resize is None else Shrink(resize, data.channels, data.interpolation)
    images = data.images if shrink is None else shrink.images(data.images)
    plan = plan_shards(images, shard_bytes, shrink)
    _begin(destination, plan, PLAN in names)
    packer = _Packer(images, shrink, destination, progress)
    written = _in_parallel(packer.write, plan.shards, workers)
    _verify(written, destination)
    _write_indices(images, written, destination, shard_bytes)
    files, more = _write_listings(images, written, destination)
    manifest = Manifest(
        task_of(images),
        type(data).__name__,
        images.classes,
        {split: len(listing) for split, listing in images.splits.items() if len(listing)},
        resize,
        [each.shard for each in written],
        files,
        {**more, "group": data.group if images.groups else None},
    )
    destination.write(MANIFEST, manifest.text())
    for name in (PLAN, *(_record(shard) for shard in plan.shards)):
        destination.delete(name)
    return manifest


def _check_keepable(images: ImageSet[Any]) -> None:
    """Raises RecipeError for what shards do not keep."""
    if isinstance(images, ClassSet) and images.replay is not None:
        raise RecipeError("data.replay is of other images, which are not packed with these; pack the set without it")


def _check_outside(destination: Destination, source: str) -> None:
    """Raises RunError where shards would become files of the set."""
    folder = Path(source).expanduser().resolve()
    if destination.folder is not None and folder.is_dir() and folder in destination.folder.resolve().parents:
        raise RunError(f"{destination.root}: lies in {source}, which is packed; expected a folder outside of it")


def _begin(destination: Destination, plan: Plan, begun: bool) -> None:
    """Writes what is packed here, or compares it."""
    if destination.folder is not None:
        for folder in destination.folder.glob(f"{WORK}*"):
            shutil.rmtree(folder)
    text = json.dumps({"format": FORMAT, "digest": plan.digest}).encode()
    if not begun:
        destination.write(PLAN, text)
    elif destination.read(PLAN) != text:
        raise RunError(
            f"{destination.root}: holds an unfinished pack of other images, or with other options; delete it, or name "
            "another folder"
        )


class _Packer:
    """Writes shards, several at a time, and counts their images."""

    def __init__(
        self, images: ImageSet[Any], shrink: Shrink | None, destination: Destination, progress: Progress
    ) -> None:
        self.images, self.shrink, self.destination, self.progress = images, shrink, destination, progress
        self.total, self.done, self._lock = sum(map(len, images.splits.values())), 0, threading.Lock()

    def write(self, planned: PlannedShard) -> WrittenShard:
        """Writes a shard, unless it is there."""
        if (before := self._written(planned)) is not None:
            self._count(before.shard.images)
            return before
        with self.destination.work() as folder:
            listing = self.images.splits[planned.split]
            path, shard = write_shard(planned, listing, self.shrink, folder, self._count)
            self.destination.put(planned.name, path)
        self.destination.write(_record(planned), shard.text())
        return shard

    def _written(self, planned: PlannedShard) -> WrittenShard | None:
        """Returns what was recorded when this shard was whole; None: it is to be written."""
        size = self.destination.size(planned.name)
        if size is None or self.destination.size(_record(planned)) is None:
            return None
        written = WrittenShard.parse(self.destination.read(_record(planned)))
        return written if written.shard.bytes == size and written.shard.images == len(planned.rows) else None

    def _count(self, images: int = 1) -> None:
        with self._lock:
            self.done += images
            self.progress(self.done, self.total)


def _record(planned: PlannedShard) -> str:
    return f"{planned.name}.json"


def _verify(written: Sequence[WrittenShard], destination: Destination) -> None:
    """Reads all shards from there. Raises RunError for one that is not what was written."""

    def verify(each: WrittenShard) -> None:
        if destination.digest(each.shard.name) != each.shard.sha256:
            raise RunError(
                f"{destination.where(each.shard.name)}: is not what was written there; delete it, and the same command "
                "writes it again"
            )

    _in_parallel(verify, written, 4)


def _write_indices(
    images: ImageSet[Any], written: Sequence[WrittenShard], destination: Destination, shard_bytes: int
) -> None:
    """Writes LitData's index of each split."""
    for split, listing in images.splits.items():
        of_split = [each for each in written if each.shard.name.startswith(f"{split}/")]
        assert sum(each.shard.images for each in of_split) == len(listing), "every image is in one shard"
        if of_split:
            config = {**of_split[0].config, "chunk_size": None, "chunk_bytes": shard_bytes}
            index = {"chunks": [each.chunk for each in of_split], "config": config}
            destination.write(f"{split}/index.json", json.dumps(index, sort_keys=True).encode())


def _write_listings(
    images: ImageSet[Any], written: Sequence[WrittenShard], destination: Destination
) -> tuple[dict[str, str], dict[str, Any]]:
    """Writes where each file is, keys and targets; returns the SHA-256 of these files, and what else the task needs."""
    members = [
        (key, number, offset, length, checksum)
        for number, each in enumerate(written)
        for key, offset, length, checksum in each.members
    ]
    files, more = index_files(images, members)
    for name, content in files.items():
        destination.write(name, content)
    return {name: sha256(content).hexdigest() for name, content in files.items()}, more


def _in_parallel(action: Callable[[Any], Any], items: Sequence[Any], workers: int) -> list[Any]:
    """Returns the results in the order of the items; the first error ends what has not begun."""
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(action, item) for item in items]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]
