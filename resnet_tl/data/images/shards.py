"""The files of a packed set inside LitData's shards, read in place by many processes at the same time."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from resnet_tl.data.images.key_hash import hash64
from resnet_tl.data.images.limits import check_bytes
from resnet_tl.data.images.manifest import INDEX, MANIFEST, Manifest
from resnet_tl.data.images.shard_cache import ORIGIN, ShardCache
from resnet_tl.errors import DataError, RunError

WINDOW = 8
"""Shards whose images an epoch mixes at a time."""
OPEN = WINDOW + 4
"""Shards that a process keeps open, and that a cache must have room for: those in use, and some ahead."""
ARRAYS = ("names", "shards", "offsets", "lengths", "checksums")


class ShardFiles:
    """Where each file of a packed set lies, in flat arrays (32 bytes a file), and its content by positioned reads.

    The paths of the files begin with that of the set's index, `packed/files.shards/train/cat/1.jpg`. Next to the index
    lie the manifest and the shards, or what says from where shards are downloaded.

    Args:
        path: of the index.
    """

    def __init__(self, path: str) -> None:
        self.folder = Path(path).parent
        self.path = path
        manifest = self.folder / MANIFEST
        try:
            self.manifest = Manifest.parse(manifest.read_bytes(), str(manifest))
            content = Path(path).read_bytes()
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from None
        self.manifest.check(INDEX, content, path)
        with np.load(io.BytesIO(content)) as arrays:
            self.names, self.shards, self.offsets, self.lengths, self.checksums = (arrays[name] for name in ARRAYS)
        self.cache = ShardCache(self.folder) if (self.folder / ORIGIN).exists() else None
        self._opened: dict[int, io.FileIO] = {}

    def read(self, member: str) -> bytes:
        """Returns a file's content after verifying its checksum.

        Raises:
            DataError: there is no such file.
            RunError: its shard is missing, damaged, or cannot be downloaded. Not a DataError, with which
                `on_error: skip` would drop good images.
        """
        row = self._row(member)
        check_bytes(int(self.lengths[row]), f"{self.path}/{member}")
        shard = int(self.shards[row])
        file = self._opened.get(shard) or self._open(shard)
        data = os.pread(file.fileno(), int(self.lengths[row]), int(self.offsets[row]))
        if zlib.crc32(data) != self.checksums[row]:
            raise self._damaged(shard, f"{member} does not match its checksum")
        return data

    def listed(self, member: str) -> tuple[int, int]:
        """Returns a file's size and the CRC-32 of its content, as they were packed."""
        row = self._row(member)
        return int(self.lengths[row]), int(self.checksums[row])

    def fetch(self, shards: Iterable[int]) -> None:
        """Downloads the shards of these numbers unless they are there. Raises RunError, as `read`."""
        if self.cache is not None:
            self.cache.fetch(self.manifest.shards[number] for number in shards)

    def shards_of(self, members: Iterable[str]) -> np.ndarray:
        """Returns the number of the shard of each file, `[N]` int32; the set has all of them."""
        names = np.fromiter(map(hash64, members), np.uint64)
        return np.asarray(self.shards[np.searchsorted(self.names, names)])

    def _row(self, member: str) -> int:
        name = np.uint64(hash64(member))
        row = int(np.searchsorted(self.names, name))
        if row == len(self.names) or self.names[row] != name:
            raise DataError(f"{self.path}/{member}: the packed set has no such file")
        return row

    def _open(self, number: int) -> io.FileIO:
        shard = self.manifest.shards[number]
        path = self.folder / shard.name
        file = None
        while file is None:
            self.fetch([number])
            try:
                file = io.FileIO(path)
            except FileNotFoundError:
                if self.cache is None:  # else another process has made room for a shard of its own in the meantime
                    raise RunError(f"{path}: the shard is missing; copy it from where the set was packed") from None
        if (size := os.fstat(file.fileno()).st_size) != shard.bytes:
            raise self._damaged(number, f"it has {size:,} bytes of {shard.bytes:,}")
        # Other threads may be reading from what is dropped here: it is closed when the last of them is done.
        for oldest in list(self._opened)[: max(0, len(self._opened) + 1 - OPEN)]:
            self._opened.pop(oldest, None)
        self._opened[number] = file
        return file

    def _damaged(self, number: int, how: str) -> RunError:
        repair = "copy it again from where the set was packed" if self.cache is None else "delete it: it is downloaded"
        return RunError(f"{self.folder / self.manifest.shards[number].name}: the shard is damaged: {how}; {repair}")
