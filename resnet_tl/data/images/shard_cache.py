"""A folder of shards that are downloaded when they are first read; the least recently opened make room for others."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

from resnet_tl.data.images.manifest import MANIFEST, Shard
from resnet_tl.data.images.remote import FULL, open_filesystem, retried
from resnet_tl.errors import RunError
from resnet_tl.files import atomic_create

ORIGIN = "origin.json"
"""In the folder: where the shards are, and how many bytes of them it may hold."""
ABANDONED = 600
"""Seconds without a byte after which a part of a shard is of a process that is gone."""
SHARDS = (".bin", ".tar")
"""The endings of shards."""
POLLED_EVERY = 0.005
"""Seconds between two looks for what another process makes."""
BLOCK = 1 << 22


def write_origin(folder: Path, url: str, cache_gb: float) -> None:
    """Makes `folder` a cache of the shards at `url`, of at most `cache_gb` GB (10^9 bytes)."""
    with atomic_create(folder / ORIGIN) as file:
        file.write(json.dumps({"url": url, "limit": int(cache_gb * 1e9)}).encode())


class ShardCache:
    """The shards in one folder, for any number of processes of a machine: each shard is downloaded by one of them.

    Args:
        folder: one of `write_origin`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read_origin()

    def _read_origin(self) -> None:
        origin = json.loads((self.folder / ORIGIN).read_bytes())
        self.url, self.limit = str(origin["url"]), int(origin["limit"])

    def fetch(self, shards: Iterable[Shard]) -> None:
        """Downloads shards, one after another, unless they are there; in any case they are now the most recently used.

        One process downloads at a time, all that it was asked for: the stores' clients read the parts of a shard in
        parallel, and the limit is exact. Others wait for theirs: what has prefetched shards to download has a client,
        which takes the better part of a second of CPU time to make.

        Raises:
            RunError: one does not exist, cannot be read after several tries, is damaged, or there is no room for it.
        """
        with Lock(self.folder / ".lock") as lock:
            for shard in shards:
                lock.until(partial(self._is_there, shard), partial(self._fetch, shard))

    def _is_there(self, shard: Shard) -> bool:
        try:
            os.utime(self.folder / shard.name)
        except FileNotFoundError:
            return False
        return True

    def _fetch(self, shard: Shard) -> None:
        path = self.folder / shard.name
        try:
            self._read_origin()
            path.parent.mkdir(parents=True, exist_ok=True)
            self._make_room(shard.bytes)
            self._download(shard, path)
        except OSError as error:
            if error.errno not in FULL:
                raise RunError(f"{path}: cannot be written: {error.strerror}") from error
            raise RunError(
                f"{self.url}/{shard.name}: the disk of {self.folder} has no room for its {shard.bytes:,} bytes; "
                "free some, lower data.cache_gb, or set data.cache_dir to a folder on another disk"
            ) from None

    def _make_room(self, size: int) -> None:
        """Deletes the least recently opened shards until `size` more bytes are within the limit. Processes that read
        one of them keep it until they close it."""
        for part in self.folder.rglob(".*.part"):
            if time.time() - part.stat().st_mtime > ABANDONED:
                part.unlink(missing_ok=True)
        shards = (path for path in self.folder.rglob("*") if path.suffix in SHARDS)
        found = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in shards)
        total = size + sum(length for _, length, _ in found)
        for _, length, path in found:
            if total <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= length

    def _download(self, shard: Shard, path: Path) -> None:
        url, part = f"{self.url}/{shard.name}", path.with_name(f".{path.name}.{os.getpid()}.part")
        damaged = 0

        def download() -> None:
            nonlocal damaged
            filesystem, source = open_filesystem(url)
            filesystem.get_file(source, str(part))
            if part.stat().st_size != shard.bytes:
                raise ConnectionError(f"{part.stat().st_size:,} of {shard.bytes:,} bytes were received")
            if shard.sha256 and digest_of(part) != shard.sha256:
                damaged += 1
                if damaged > 1:  # not by the network
                    raise RunError(
                        f"{url}: is damaged: its SHA-256 is not the one in {MANIFEST}; copy or pack it again"
                    )
                raise ConnectionError("other bytes were received than were packed")

        try:
            retried(url, download)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def digest_of(path: Path) -> str:
    """Returns the SHA-256 of a file in hex digits."""
    digest = sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


class Lock:
    """Is for one thread of one process at a time, where the system has locks; elsewhere several may have it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> bool:
        """Takes it, unless another has it; returns whether it is taken."""
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except (ImportError, OSError):
            pass
        return True

    def until(self, is_made: Callable[[], bool], make: Callable[[], object]) -> None:
        """Makes something unless it is there, or waits for it while another has the lock."""
        while not is_made():
            if not self.take():
                time.sleep(POLLED_EVERY)
            elif not is_made():
                make()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is None:
            return
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_UN)  # a process forked meanwhile has the file open, too
        os.close(self._file)
