"""Packed sets, in a folder or at an address: what `resnet-tl data pack` has written."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from resnet_tl.data.images.key_hash import hash64
from resnet_tl.data.images.manifest import FORMAT, INDEX, LISTING, MANIFEST, MODULES, SHARD, Manifest, Shard
from resnet_tl.data.images.remote import Missing, is_url, read_url, without_slash
from resnet_tl.data.images.shard_cache import digest_of, write_origin
from resnet_tl.data.images.shards import ARRAYS, OPEN, WINDOW
from resnet_tl.data.listings.boxes import BoxListing, BoxSet
from resnet_tl.data.listings.listing import ClassSet, ImageSet, Listing
from resnet_tl.data.listings.masks import MaskListing, MaskSet, PaintedMaskListing
from resnet_tl.data.listings.rows import Rows
from resnet_tl.data.listings.stored import arrays_of, set_of
from resnet_tl.data.sources import mask_set
from resnet_tl.data.sources.annotations import in_order_of
from resnet_tl.data.sources.class_names import check_known
from resnet_tl.data.sources.tree import missing
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.files import as_run_error, atomic_create

PLAN = "pack.json"
"""What a pack that is not finished has in place of the manifest."""


def packed_form(root: str) -> tuple[str, str, str] | None:
    """Returns the task of the packed set at `root`, the module that reads it, and what was packed; None: no such set.

    Raises:
        RunError: the address cannot be read.
        DataError: there is no packed set at the address, or it is not finished.
    """
    folder = os.path.expanduser(root)
    if not is_url(root) and not any(os.path.isfile(f"{folder}/{name}") for name in (MANIFEST, PLAN)):
        return None
    try:
        manifest = _manifest(root)
    except DataError:
        if is_url(root) or _is_unfinished(Path(folder)):
            raise
        return None  # a folder of images with a manifest of its own
    return manifest.task, MODULES[manifest.task], f"shards packed from {manifest.source}"


def read_shards(
    root: str, task: str, classes: Sequence[str] | None, cache: Path, cache_gb: float, group: str | None = None
) -> ImageSet[Any]:
    """Lists a packed set. Its shards are read where they are or, at an address, downloaded into `cache` when needed.

    Args:
        classes: a checkpoint's, which may be more and in another order.
        cache_gb: how many GB (10^9 bytes) of shards the cache may hold.
        group: heading of the column of groups, if the set was packed with one; see `data.group`.

    Raises:
        DataError: there is no packed set, it is damaged or of another task, or has classes that are not in `classes`.
        RecipeError: the cache is too small.
        RunError: an address cannot be read.
    """
    manifest = _manifest(root)
    if manifest.task != task:
        raise DataError(f"{root} is packed for {manifest.task}: --data {MODULES[manifest.task]} reads it")
    folder = _cached(root, manifest, cache, cache_gb) if is_url(root) else Path(root).expanduser()
    images = read_index(folder, root, manifest, classes)
    return images if manifest.more.get("group") == group else replace(images, groups={})


def read_index(folder: Path, root: str, manifest: Manifest, classes: Sequence[str] | None) -> ImageSet[Any]:
    """Lists the images that the index in `folder` says where to find. root: what the set is called.

    Raises:
        DataError: it is damaged, or has classes that are not in `classes`.
    """
    content = (folder / LISTING).read_bytes() if (folder / LISTING).exists() else b""
    manifest.check(LISTING, content, f"{folder / LISTING}")
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    splits, paths = list(manifest.splits), str(folder / INDEX)
    images = set_of(manifest.task, root.rstrip("/"), paths, manifest.classes, splits, arrays, manifest.more)
    return images if classes is None else _with_classes(images, list(classes))


def index_files(
    images: ImageSet[Any], members: Iterable[tuple[str, int, int, int, int]]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Returns the content of the files next to a manifest, and what else it says about its task.

    members: of each file its key, shard, offset and length in it, and the CRC-32 of its content.
    """
    kinds = (np.uint64, np.int32, np.int64, np.int64, np.uint32)
    rows = ((hash64(key), *rest) for key, *rest in members)
    columns = zip(ARRAYS, kinds, zip(*rows, strict=True), strict=True)
    index = {name: np.array(values, kind) for name, kind, values in columns}
    order = np.argsort(index["names"], kind="stable")
    arrays, more = arrays_of(images)
    return {INDEX: _saved({name: values[order] for name, values in index.items()}), LISTING: _saved(arrays)}, more


def _saved(arrays: dict[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def _manifest(root: str) -> Manifest:
    where = f"{without_slash(root)}/{MANIFEST}"
    folder = Path(root).expanduser()
    if not is_url(root) and not folder.exists():
        raise missing(root)
    try:
        return _as_packed(read_url(where) if is_url(root) else (folder / MANIFEST).read_bytes(), where)
    except (Missing, OSError):
        unfinished = "its pack is not finished: the same `resnet-tl data pack` goes on with it"
        begun = _is_begun(root) if is_url(root) else _is_unfinished(folder)
        why = unfinished if begun else f"there is no {MANIFEST} as `resnet-tl data pack` writes it"
        raise DataError(f"{root} is no packed set: {why}") from None


def _as_packed(text: bytes, where: str) -> Manifest:
    manifest = Manifest.parse(text, where)
    if all(SHARD.fullmatch(shard.name) for shard in manifest.shards):
        return manifest
    raise DataError(f"{where}: names shards that data pack does not write")


def _is_begun(url: str) -> bool:
    try:
        return FORMAT.encode() in read_url(f"{without_slash(url)}/{PLAN}")
    except Missing:
        return False


def _is_unfinished(folder: Path) -> bool:
    plan = folder / PLAN
    return not (folder / MANIFEST).exists() and plan.is_file() and FORMAT.encode() in plan.read_bytes()


def _cached(root: str, manifest: Manifest, cache: Path, cache_gb: float) -> Path:
    """Returns the folder into which the shards of an address are downloaded; its indices are there."""
    check_room(manifest.shards, cache_gb)
    url, text = root.rstrip("/"), manifest.text()
    # Named after what it holds: a set that was packed again, at the same address, has a cache of its own.
    folder = cache / "shards" / sha256(url.encode() + text).hexdigest()[:16]
    with as_run_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in (INDEX, LISTING):
            if not _is_whole(folder / name, manifest):
                content = read_url(f"{url}/{name}")
                manifest.check(name, content, f"{url}/{name}")
                _write(folder / name, content)
        _write(folder / MANIFEST, text)
        write_origin(folder, url, cache_gb)
    return folder


def check_room(shards: Sequence[Shard], cache_gb: float) -> None:
    """Raises RecipeError if a cache of `cache_gb` GB cannot hold the shards that an epoch mixes."""
    largest = max(shard.bytes for shard in shards)
    needed = min(sum(shard.bytes for shard in shards), OPEN * largest)
    if cache_gb * 1e9 < needed:
        raise RecipeError(
            f"data.cache_gb is {cache_gb:g}; expected {needed / 1e9 + 0.001:.3f} or more: an epoch mixes {WINDOW} "
            f"shards of up to {largest / 1e6:.0f} MB"
        )


def _is_whole(path: Path, manifest: Manifest) -> bool:
    return path.exists() and digest_of(path) == manifest.files[path.name]


def _write(path: Path, content: bytes) -> None:
    with atomic_create(path) as file:
        file.write(content)


def _with_classes(images: ImageSet[Any], known: list[str]) -> ImageSet[Any]:
    """Returns the set with the classes of a checkpoint, of which it may show only some."""
    if known == images.classes:
        return images
    if isinstance(images, BoxSet):
        known, codes = in_order_of(images.root, images.classes, images.codes, known)
        return replace(images, classes=known, splits=_relabelled(images, known), codes=codes)
    if isinstance(images, MaskSet):
        files, painted = mask_set.in_order_of(images, known), _relabelled(images, known)
        return replace(files, splits={**files.splits, **painted})
    check_known(images.root, set(images.classes), known)
    if isinstance(images, ClassSet):
        return replace(images, classes=known, splits=_relabelled(images, known))
    raise DataError(f"{images.root} has the numbers {', '.join(images.classes)}; expected {', '.join(known)}")


def _relabelled(images: ImageSet[Any], known: list[str]) -> dict[str, Any]:
    """Returns the splits with the places of their classes among those of a checkpoint; without those of mask files."""
    places = np.array([known.index(name) for name in images.classes], np.int32)
    found: dict[str, Any] = {}
    for split, listing in images.splits.items():
        if isinstance(listing, PaintedMaskListing):
            found[split] = PaintedMaskListing.of_objects(listing.relabelled(places))
        elif isinstance(listing, BoxListing):
            found[split] = listing.relabelled(places)
        elif not isinstance(listing, MaskListing):
            targets = listing.targets
            rows = Rows(places[targets.values], targets.offsets) if isinstance(targets, Rows) else places[targets]
            found[split] = Listing(listing.root, listing._keys, rows)
    return found
