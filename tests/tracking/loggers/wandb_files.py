"""Files as W&B's process writes them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 2**15


def write_wandb_file(path: Path, steps: Iterable[int], padding: int = 0) -> None:
    """A row of history for each step, with a value of `padding` characters."""
    path.parent.mkdir(parents=True)
    data = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
    for step in steps:
        record = Record()
        record.history.step.num = step
        record.history.item.add(key="text", value_json="x" * padding)
        data = _appended(data, record.SerializeToString())
    path.write_bytes(data)


def _appended(data: bytes, record: bytes) -> bytes:
    """A record in as many chunks as blocks need."""
    first = True
    while True:
        room = BLOCK - len(data) % BLOCK
        if room < 7:
            data += bytes(room)
            continue
        chunk, record = record[: room - 7], record[room - 7 :]
        kind = bytes([(1 if first else 4) if not record else (2 if first else 3)])
        data += struct.pack("<IH", zlib.crc32(kind + chunk), len(chunk)) + kind + chunk
        first = False
        if not record:
            return data
