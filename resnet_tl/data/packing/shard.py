"""One shard: a chunk that LitData writes, and where the files of its images lie in it."""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnet_tl.data.images.manifest import Shard
from resnet_tl.data.images.shard_cache import digest_of
from resnet_tl.data.listings.boxes import BoxListing
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.values import ValueListing
from resnet_tl.data.packing.plan import PlannedShard, contents_of, files_of
from resnet_tl.data.packing.resized import Shrink

LEAVES = ("image", "mask", "key", "target")
"""Of each item, in the order in which they are stored."""


@dataclass(frozen=True)
class WrittenShard:
    """A shard that is at its destination.

    members: of each file its key, offset and length in the shard, and the CRC-32 of its content.
    chunk, config: LitData's, for its index.
    """

    shard: Shard
    members: list[tuple[str, int, int, int]]
    chunk: dict[str, Any]
    config: dict[str, Any]

    def text(self) -> bytes:
        return json.dumps({**asdict(self), "shard": self.shard._asdict()}).encode()

    @classmethod
    def parse(cls, text: bytes) -> WrittenShard:
        fields = json.loads(text)
        return cls(**{**fields, "shard": Shard(**fields["shard"])})


def write_shard(
    planned: PlannedShard, listing: Listing, shrink: Shrink | None, folder: Path, done: Callable[[], None]
) -> tuple[Path, WrittenShard]:
    """Writes a shard of a split's listing into an empty `folder`.

    done: called after each image.

    Raises:
        DataError: a file cannot be read, or with `shrink` not decoded.
    """
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(folder), chunk_size=len(planned.rows), chunk_index=planned.number)
    names: list[list[str]] = []
    for place, row in enumerate(planned.rows.tolist()):
        image, *masks = contents_of(listing, row, shrink)
        names.append([key for key, _ in files_of(listing, row)])
        # Not as text: LitData stores a text that names an existing file as that file.
        key, mask = names[-1][0].encode(), masks[0] if masks else b""
        writer.add_item(place, {"image": image, "mask": mask, "key": key, "target": _target(listing, row)})
        done()
    (path,) = map(Path, writer.done())
    index = json.loads(Path(writer.write_chunks_index()).read_text())
    members = [
        (key, offset, len(content), zlib.crc32(content))
        for keys, (image, mask, _, _) in zip(names, read_items(path), strict=True)
        for key, (offset, content) in zip(keys, (image, mask), strict=False)
    ]
    shard = Shard(planned.name, os.path.getsize(path), len(names), digest_of(path))
    return path, WrittenShard(shard, members, index["chunks"][0], index["config"])


def read_items(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    """Yields the leaves of each item of a chunk: their offsets in the file, and their bytes.

    LitData's format: the number of items, their offsets and the end of the last one; each item is the lengths of its
    leaves, then the leaves. All numbers are 32-bit, little-endian.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        (count,) = struct.unpack_from("<I", content, 0)
        for start in np.frombuffer(content[4 : 4 + 4 * count], "<u4").tolist():
            lengths = struct.unpack_from(f"<{len(LEAVES)}I", content, start)
            offset, leaves = start + 4 * len(LEAVES), []
            for length in lengths:
                leaves.append((offset, content[offset : offset + length]))
                offset += length
            yield leaves


def _target(listing: Listing, row: int) -> np.ndarray:
    """Returns the target for those who read the shards without this package: class indices `[K]` int32, numbers `[T]`
    float32, or objects `[M, 7]` float32 (x1, y1, x2, y2, class, crowd, area); nothing `[0]` int32 with a mask file."""
    if isinstance(listing, ValueListing):
        return listing.values[row]
    if isinstance(listing, BoxListing):
        objects = listing.objects(row)
        numbers = (objects.boxes, objects.labels[:, None], objects.crowd[:, None], objects.area[:, None])
        return np.concatenate([part.astype(np.float32) for part in numbers], 1)
    return np.zeros(0, np.int32) if isinstance(listing[row].target, str) else listing.classes_of(row).astype(np.int32)
