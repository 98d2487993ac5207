"""Which rows are in W&B's files of a run."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
"""The first bytes of a file, with the only version of the format that there has been."""
BLOCK = 2**15
FULL, LAST = 1, 4
"""Kinds of chunks that end a record."""


def next_step(paths: Iterable[Path]) -> int | None:
    """Returns the step after the last row of `.wandb` files, 0 if they have none; None for a format that is not known.

    W&B's process writes rows seconds after they were logged, and those not written are lost when it is killed.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    step = -1
    for path in paths:
        with open(path, "rb") as file:
            header = file.read(len(HEADER))
            if header and header != HEADER:
                return None
            for record in map(Record.FromString, _records(file)):
                if record.HasField("history"):
                    step = max(step, record.history.step.num)
    return step + 1


def _records(file: BinaryIO) -> Iterator[bytes]:
    """Yields the records up to the first that is cut off or damaged.

    The format is LevelDB's log: blocks of 32 KiB, in which a record is one chunk or several; before each chunk its
    checksum, length and kind.
    """
    record = b""
    while True:
        left = BLOCK - file.tell() % BLOCK
        if left < 7:
            file.seek(left, 1)
        prefix = file.read(7)
        if len(prefix) < 7:
            return
        checksum, length, kind = struct.unpack("<IHB", prefix)
        chunk = file.read(length)
        if len(chunk) < length or zlib.crc32(chunk, zlib.crc32(prefix[6:])) != checksum:
            return
        record += chunk
        if kind in (FULL, LAST):
            yield record
            record = b""
