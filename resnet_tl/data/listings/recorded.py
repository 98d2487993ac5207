"""The files of a set as they were when a run began, and what is gone, new or changed when it resumes.

Of every file the size and the time of change are recorded, and of some, at random, the CRC-32 of the content: of all
files of a small set. Times are no proof, as a copy has others: a file of another time is compared by its CRC-32. One
without is taken for unchanged if all those with one have other times as well, and the same content: then the set was
copied.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from resnet_tl.data.images.archive import open_archive, split_path
from resnet_tl.data.images.decode import read_bytes
from resnet_tl.errors import DataError

BUDGET, MOST_READ = 256_000_000, 10_000
"""Bytes of content, and files, that are read for CRCs: about 2,000 photographs, in about a second."""
CHUNK = 1000
"""Files that a thread looks at in one go."""


class File(NamedTuple):
    """size: in bytes, of a zip's member in the zip; -1: it does not exist. modified: in nanoseconds, 0 in a zip.
    crc: of the content; None if it was not read."""

    size: int
    modified: int
    crc: int | None


@dataclass(frozen=True)
class SplitFiles:
    """The files of a split.

    labels: a digest of the keys and targets in their order, and of the classes.
    paths: of its files, by stable keys.
    """

    labels: str
    paths: dict[str, str]


@dataclass(frozen=True)
class RecordedSplit:
    """A split as it was: its `SplitFiles.labels`, and its files by key."""

    labels: str
    files: dict[str, File]


def record(splits: Mapping[str, SplitFiles]) -> dict[str, RecordedSplit]:
    """Looks at every file, and reads some."""
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        found = {split: _look(pool, each.paths) for split, each in splits.items()}
        unread = [(split, key) for split, files in found.items() for key, file in files.items() if file.crc is None]
        chosen, room = [], BUDGET
        for index in np.random.default_rng(0).permutation(len(unread))[:MOST_READ]:
            split, key = unread[index]
            if 0 <= found[split][key].size <= room:
                chosen.append((split, key))
                room -= found[split][key].size
        paths = [splits[split].paths[key] for split, key in chosen]
        for (split, key), crc in zip(chosen, pool.map(_crc, paths), strict=True):
            found[split][key] = found[split][key]._replace(crc=crc)
    return {split: RecordedSplit(splits[split].labels, files) for split, files in found.items()}


def changes(recorded: Mapping[str, RecordedSplit], splits: Mapping[str, SplitFiles]) -> str | None:
    """Returns what has changed since, as a clause for each split with an example; None if nothing has."""
    clauses = []
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        found = {split: _look(pool, each.paths) for split, each in splits.items()}
        changed = _changed_content(pool, recorded, found, splits)
    for split in {**recorded, **splits}:
        before = recorded[split].files if split in recorded else {}
        after = found.get(split, {})
        parts = [
            _count([key for key in before if key not in after], "is gone", "are gone"),
            _count([key for key in after if key not in before], "is new", "are new"),
            _count(changed.get(split, []), "has another content", "have another content"),
        ]
        if not any(parts) and recorded[split].labels != splits[split].labels:
            parts = ["classes, labels or their order are others"]
        if any(parts):
            clauses.append(f"{split}: {', '.join(filter(None, parts))}")
    return "; ".join(clauses) or None


def _changed_content(
    pool: ThreadPoolExecutor,
    recorded: Mapping[str, RecordedSplit],
    found: Mapping[str, Mapping[str, File]],
    splits: Mapping[str, SplitFiles],
) -> dict[str, list[str]]:
    """Returns the keys of files that exist still and have another content, by split."""
    changed: dict[str, list[str]] = {split: [] for split in recorded}
    compared, unread, untouched = [], [], 0
    for split, each in recorded.items():
        for key, before in each.files.items():
            after = found.get(split, {}).get(key)
            if after is None:
                continue
            if after.size != before.size or (after.crc is not None and after.crc != before.crc):
                changed[split].append(key)
            elif after.modified == before.modified:
                untouched += before.crc is not None
            elif before.crc is None:
                unread.append((split, key))
            else:
                compared.append((split, key))
    for (split, key), crc in zip(compared, pool.map(_crc, [splits[s].paths[k] for s, k in compared]), strict=True):
        if crc != recorded[split].files[key].crc:
            changed[split].append(key)
    was_copied = compared and not untouched and not any(changed.values())
    for split, key in [] if was_copied else unread:
        changed[split].append(key)
    return changed


def _look(pool: ThreadPoolExecutor, paths: Mapping[str, str]) -> dict[str, File]:
    items = list(paths.items())
    chunks = (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
    return dict(file for chunk in pool.map(_look_at, chunks) for file in chunk)


def _look_at(items: Iterable[tuple[str, str]]) -> list[tuple[str, File]]:
    return [(key, _file(path)) for key, path in items]


def _file(path: str) -> File:
    inside = split_path(path)
    try:
        if inside is not None:
            size, crc = open_archive(inside[0]).listed(inside[1])
            return File(size, 0, crc)
        status = os.stat(path)
    except (OSError, DataError):
        return File(-1, 0, None)
    return File(status.st_size, status.st_mtime_ns, None)


def _crc(path: str) -> int | None:
    try:
        return zlib.crc32(read_bytes(path, allow_empty=True))
    except DataError:
        return None


def _count(keys: list[str], one: str, several: str) -> str:
    """`"2 files are gone (cat/1.jpg, ...)"`; empty for none."""
    if not keys:
        return ""
    files, verb = ("file", one) if len(keys) == 1 else ("files", several)
    return f"{len(keys)} {files} {verb} ({keys[0]}{', ...' if len(keys) > 1 else ''})"
