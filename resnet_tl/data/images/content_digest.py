"""What files hold, in one hash; what was read once is not read again."""

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


def content_digest(paths: Mapping[str, str], folder: Path) -> str:
    """32 hex digits of the keys and of what is in the files (key -> path); one that cannot be read counts as empty.

    They are noted in `folder` under the files' names, sizes and times of change, and read there as long as these stand.
    """
    noted = folder / f"{_stand(paths)}.contents"
    if noted.exists():
        return noted.read_text()
    digest = blake2b(digest_size=16)
    for key, path in paths.items():
        digest.update(f"{key}\n".encode() + blake2b(_content(path), digest_size=16).digest())
    with suppress(OSError):  # then they are read the next time, too
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_create(noted) as file:
            file.write(digest.hexdigest().encode())
    return digest.hexdigest()


def _stand(paths: Mapping[str, str]) -> str:
    digest = blake2b(digest_size=16)
    for key, path in paths.items():
        inside = split_path(path)
        digest.update(f"{key}\n{_changed(inside[0] if inside else path)}\n".encode())
    return digest.hexdigest()


def _changed(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _content(path: str) -> bytes:
    try:
        return read_bytes(path)
    except DataError:
        return b""
