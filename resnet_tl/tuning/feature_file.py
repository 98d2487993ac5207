"""The feature maps of many images in one memory-mapped file: a block of bytes per level, a row per image.

After the blocks come the CRC-32 of each row, the layout as JSON, the length and CRC-32 of this JSON, and `MAGIC`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from resnet_tl.errors import DataError
from resnet_tl.structures.records import Batch, Draw, Features

MAGIC = b"resnet_tl features 3\n"
TAIL = 16 + len(MAGIC)
CHECKSUM = np.dtype("<u4")
"""Of a row: the CRC-32 of its bytes in all blocks, in their order."""


@dataclass(frozen=True)
class Block:
    """The rows of one level, or of other fields of a batch.

    Args:
        shape: of a row; of a map `[V, H, W, C]`, the memory order of channels-last maps.
        dtype: of the values when read, by torch's name.
        stored: their dtype in the file.
        offset: of the block in the file, in bytes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: str
    offset: int

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape)) * getattr(torch, self.stored).itemsize


@dataclass(frozen=True)
class Layout:
    """What a file holds, and where.

    Args:
        rows: number of images x views of each.
        after, input_size: see `Features`.
    """

    rows: int
    views: int
    after: str
    input_size: tuple[int, int]
    blocks: tuple[Block, ...]

    @property
    def nbytes(self) -> int:
        return self.blocks[-1].offset + self.rows * self.blocks[-1].row_bytes


NUMBERS, TARGETS = "numbers", "targets"
"""Blocks next to the maps: each row's index in its listing (-1: it could not be decoded), (h, w) of the image file and
(h, w) without padding; masks `[H, W]`, which belong to a view."""


def layout_of(features: Features, batch: Batch, rows: int, *, views: int = 1, half: bool = False) -> Layout:
    """Returns the layout of `rows` like those of this batch; `half` stores 32-bit maps in 16 bits."""
    blocks: list[Block] = []
    offset = 0
    for name, value in _rows(features, batch).items():
        dtype = str(value.dtype).removeprefix("torch.")
        stored = "float16" if half and dtype == "float32" else dtype
        blocks.append(Block(name, tuple(value.shape[1:]), dtype, stored, offset))
        offset += rows * blocks[-1].row_bytes
    return Layout(rows, views, features.after, features.input_size, tuple(blocks))


def fill(file: BinaryIO, layout: Layout, batches: Iterable[tuple[Features, Batch]]) -> None:
    """Writes the rows of all batches, then their checksums, the layout and `MAGIC`: a file without them is
    incomplete."""
    checksums = np.zeros(layout.rows, CHECKSUM)
    row = 0
    for features, batch in batches:
        if features.input_size != layout.input_size:
            one, other = (f"{width} x {height}" for height, width in (layout.input_size, features.input_size))
            raise DataError(f"images of different sizes: {one} and {other} pixels")
        values = _rows(features, batch)
        stored = [_as_bytes(values[block.name], block) for block in layout.blocks]
        for block, content in zip(layout.blocks, stored, strict=True):
            file.seek(block.offset + row * block.row_bytes)
            file.write(content.data)
        checksums[row : row + len(batch)] = _checksums(stored)
        row += len(batch)
    text = json.dumps(asdict(layout)).encode()
    file.seek(layout.nbytes)
    file.write(checksums.tobytes() + text + np.array([len(text), zlib.crc32(text)], "<i8").tobytes() + MAGIC)


class FeatureFile:
    """Cached features by draws. A row is compared with its checksum when it is first read.

    Raises:
        DataError: the file is damaged, here or when a row is taken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.stat().st_size < TAIL:
            raise self._damaged()
        # Copy-on-write because torch warns about read-only arrays; nothing is written.
        content = np.asarray(np.memmap(path, np.uint8, mode="c"))
        length, crc = content[-TAIL : -len(MAGIC)].view("<i8").tolist()
        text = content[max(len(content) - TAIL - length, 0) : -TAIL].tobytes()
        if content[-len(MAGIC) :].tobytes() != MAGIC or zlib.crc32(text) != crc:
            raise self._damaged()
        self.layout = _read_layout(json.loads(text))
        if len(content) != self.layout.nbytes + self.layout.rows * CHECKSUM.itemsize + len(text) + TAIL:
            raise self._damaged()
        self._checksums = content[self.layout.nbytes : -TAIL - len(text)].view(CHECKSUM)
        self._verified = np.zeros(self.layout.rows, bool)
        self._blocks = {
            block.name: content[block.offset : block.offset + self.layout.rows * block.row_bytes].reshape(
                self.layout.rows, block.row_bytes
            )
            for block in self.layout.blocks
        }

    @property
    def bytes_per_image(self) -> int:
        return sum(block.row_bytes for block in self.layout.blocks)

    def take(self, draws: Sequence[Draw]) -> tuple[Features, dict[str, Tensor]]:
        """Returns the features of N draws, and the other stored fields of their batch by name: `indices` `[N]` (-1: a
        filler, or an image that could not be decoded), `sizes` and `original_sizes` `[N, 2]`, masks as `targets`."""
        epochs, indices_drawn, repeats = np.array(draws).T
        views = (epochs + repeats) % self.layout.views  # as `stored_draw`
        rows = views * (self.layout.rows // self.layout.views) + indices_drawn.clip(0)
        stored = [self._blocks[block.name][rows] for block in self.layout.blocks]
        self._verify(rows, stored)
        taken = {block.name: _as_tensor(rows, block) for block, rows in zip(self.layout.blocks, stored, strict=True)}
        indices, original_sizes, sizes = taken.pop(NUMBERS).split([1, 2, 2], 1)
        filler = torch.from_numpy(indices_drawn < 0)
        rest = {"indices": indices[:, 0].masked_fill(filler, -1), "original_sizes": original_sizes, "sizes": sizes}
        if TARGETS in taken:
            rest[TARGETS] = taken.pop(TARGETS)
        maps = {name: value.permute(0, 1, 4, 2, 3).flatten(0, 1) for name, value in taken.items()}
        return Features(maps, self.layout.input_size, self.layout.after), rest

    def stored_draw(self, draw: Draw) -> Draw:
        """Returns the draw whose features are stored for this one."""
        return Draw((draw.epoch + draw.repeat) % self.layout.views, draw.index)

    def _verify(self, rows: np.ndarray, stored: list[np.ndarray]) -> None:
        new = np.flatnonzero(~self._verified[rows])
        differing = new[_checksums([block[new] for block in stored]) != self._checksums[rows[new]]]
        if len(differing):
            image = rows[differing[0]] % (self.layout.rows // self.layout.views)
            raise self._damaged(f": the features of image {image} do not match their checksum")
        self._verified[rows] = True

    def _damaged(self, how: str = ", or not a feature file") -> DataError:
        return DataError(f"{self.path}: damaged{how}; delete it, and it is computed again")


def _as_bytes(values: Tensor, block: Block) -> np.ndarray:
    """Returns rows as they are stored: `[N, row_bytes]` uint8."""
    stored = values.to("cpu", getattr(torch, block.stored)).contiguous()
    return stored.view(len(values), -1).view(torch.uint8).numpy()


def _as_tensor(stored: np.ndarray, block: Block) -> Tensor:
    """Returns rows `[N, *shape]` from their bytes `[N, row_bytes]`."""
    values = torch.from_numpy(stored).view(getattr(torch, block.stored))
    return values.view(len(stored), *block.shape).to(getattr(torch, block.dtype))


def _checksums(stored: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the checksum of each row, `[N]`, of blocks `[N, row_bytes]`."""
    checksums = [0] * len(stored[0])
    for block in stored:
        checksums = [zlib.crc32(row, checksum) for row, checksum in zip(block, checksums, strict=True)]
    return np.array(checksums, CHECKSUM)


def _rows(features: Features, batch: Batch) -> dict[str, Tensor]:
    """Returns the rows of each block, one per image: maps as `[N, V, H, W, C]`."""
    maps = {
        name: value.detach().permute(0, 2, 3, 1).unflatten(0, (len(batch), -1)) for name, value in features.maps.items()
    }
    masks = {TARGETS: batch.targets} if isinstance(batch.targets, Tensor) and batch.targets.ndim == 3 else {}
    return {**maps, **masks, NUMBERS: torch.cat([batch.indices[:, None], batch.original_sizes, batch.sizes], 1)}


def _read_layout(plain: dict[str, Any]) -> Layout:
    blocks = tuple(Block(**{**block, "shape": tuple(block["shape"])}) for block in plain["blocks"])
    return Layout(**{**plain, "blocks": blocks, "input_size": tuple(plain["input_size"])})
