"""Inference of segmentation: whole images or tiles, mirrored, at several scales, with averaged logits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le, MinLen, MultipleOf
from torch import Tensor

from resnet_tl.errors import RecipeError
from resnet_tl.ranges import NonNegativeInt, PositiveFloat, checked

GRID = 32
"""Tiles start at multiples of the deepest map's stride, so that their cells coincide with those of the whole image."""

WIDTH = 1 / 8
"""Standard deviation of the Gaussian that weights a tile, as a share of its side (nnU-Net's `sigma_scale`)."""


@checked("inference")
@dataclass
class Inference:
    """Settings for the prediction of masks.

    Args:
        tile: side of square tiles in pixels, a multiple of 32; 0: the whole image at once.
        overlap: minimum overlap of neighbouring tiles in pixels; a tile weighs less towards its border.
        flip: average with the prediction for the mirrored image.
        scales: average over the image resized by these factors.
    """

    tile: Annotated[int, Ge(0), Le(16384), MultipleOf(GRID)] = 0
    overlap: NonNegativeInt = 64
    flip: bool = False
    scales: Annotated[list[PositiveFloat], MinLen(1)] = field(default_factory=lambda: [1.0])

    def __post_init__(self) -> None:
        if self.tile and self.overlap >= self.tile:
            raise RecipeError(f"inference.overlap is {self.overlap}, expected less than inference.tile, {self.tile}")


class Segmenter(Protocol):
    """A `Network` with a segmentation head, or what runs like one."""

    def normalise(self, images: Tensor, sizes: Tensor | None = None, /) -> Tensor: ...

    def run(self, images: Tensor, /) -> Any:
        """Returns `PixelLogits`."""


def segment(network: Segmenter, images: Tensor, sizes: Tensor | None, inference: Inference) -> Tensor:
    """Returns logits `[N, K, H, W]` in fp32.

    Args:
        images: bytes `[N, C, H, W]`.
        sizes: `[N, 2]` (h, w) before padding; None if nothing is padded.
    """
    normalised = network.normalise(images, sizes)
    size = (images.shape[-2], images.shape[-1])
    total = torch.zeros((), device=normalised.device)
    for scale in inference.scales:
        scaled = normalised if scale == 1 else _resize(normalised, (round(size[0] * scale), round(size[1] * scale)))
        for mirrored in (False, True) if inference.flip else (False,):
            logits = _logits(network, scaled.flip(-1) if mirrored else scaled, inference)
            logits = logits.flip(-1) if mirrored else logits
            total = total + (logits if scale == 1 else _resize(logits, size))
    return total / (len(inference.scales) * (2 if inference.flip else 1))


def _logits(network: Segmenter, images: Tensor, inference: Inference) -> Tensor:
    """Returns logits `[N, K, H, W]` of normalised images `[N, C, H, W]`, tile by tile if asked to."""
    if not inference.tile:
        return network.run(images).main
    height, width = images.shape[-2:]
    rows, columns = (tile_starts(side, inference.tile, inference.overlap) for side in (height, width))
    window = _window(inference.tile, images)
    total, weight = None, torch.zeros(height, width, device=images.device)
    for row in rows:
        for column in columns:
            place = (..., slice(row, row + inference.tile), slice(column, column + inference.tile))
            logits = network.run(images[place]).main
            inside = window[: logits.shape[-2], : logits.shape[-1]]  # the image's border may cut the tile short
            total = logits.new_zeros((*logits.shape[:2], height, width)) if total is None else total
            total[place] += logits * inside
            weight[place] += inside
    assert total is not None
    return total / weight


def tile_starts(side: int, tile: int, overlap: int) -> list[int]:
    """Returns the starts in pixels of the fewest tiles that cover `side`, evenly spaced. All are multiples of `GRID`,
    so the image's border may cut the last tile short."""
    last = -(-max(side - tile, 0) // GRID)
    steps = -(-last // max((tile - overlap) // GRID, 1))
    return [GRID * (last * number // steps) for number in range(steps)] + [GRID * last]


def _window(tile: int, like: Tensor) -> Tensor:
    """Returns weights `[tile, tile]`: a Gaussian around the centre, since the border of a tile lacks context. It is
    never 0, so that every pixel has a weight."""
    distance = torch.arange(tile, device=like.device, dtype=torch.float32) + 0.5 - tile / 2
    line = torch.exp(-0.5 * (distance / (WIDTH * tile)) ** 2)
    return line[:, None] * line[None, :]


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
