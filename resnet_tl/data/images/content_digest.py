"""One hash over the content of many files, stored so that unchanged files are read only once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from resnet_tl.data.images.archive import split_path
from resnet_tl.data.images.decode import read_bytes
from resnet_tl.errors import DataError
from resnet_tl.files import atomic_create

DIGITS = 32
"""Of a digest."""


def content_digest(paths: Mapping[str, str], folder: Path) -> str:
    """Returns 32 hex digits over the keys and the content of files (key -> path); an unreadable file counts as empty.

    The digest is stored in `folder` under a hash of the files' names, sizes and times of change, and read from there
    until one of these changes.
    """
    stored = folder / f"{_stat_digest(paths)}.contents"
    if stored.exists() and stored.stat().st_size == DIGITS:  # else it is damaged
        return stored.read_text(errors="replace")
    digest = blake2b(digest_size=DIGITS // 2)
    for key, path in paths.items():
        digest.update(f"{key}\n".encode() + blake2b(_content(path), digest_size=16).digest())
    with suppress(OSError):  # without it the files are read again next time
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_create(stored) as file:
            file.write(digest.hexdigest().encode())
    return digest.hexdigest()


def _stat_digest(paths: Mapping[str, str]) -> str:
    digest = blake2b(digest_size=16)
    for key, path in paths.items():
        inside = split_path(path)
        digest.update(f"{key}\n{_stat(inside[0] if inside else path)}\n".encode())
    return digest.hexdigest()


def _stat(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _content(path: str) -> bytes:
    try:
        return read_bytes(path)
    except DataError:
        return b""
