"""Segmenting an image whole, in tiles, mirrored, at several scales: logits averaged over all of these."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_tl.errors import RecipeError
from resnet_tl.models.network import Network

GRID = 32
"""Tiles begin at multiples of the deepest map's stride, so that its cells lie where those of the whole image do."""

WIDTH = 1 / 8
"""Standard deviation, in tiles, of the Gaussian that weights a tile: nnU-Net's (`sigma_scale` of its predictor)."""


@dataclass
class Inference:
    """How masks are predicted.

    Args:
        tile: side in pixels of square tiles, a multiple of 32; 0: the whole image at once.
        overlap: pixels that neighbouring tiles share, at least; a tile counts less towards its border.
        flip: also the mirrored image.
        scales: also the image at these factors of its size, in place of 1.
    """

    tile: int = 0
    overlap: int = 64
    flip: bool = False
    scales: list[float] = field(default_factory=lambda: [1.0])

    def __post_init__(self) -> None:
        if self.tile % GRID or self.tile < 0 or (self.tile and not 0 <= self.overlap < self.tile):
            raise RecipeError(
                f"inference.tile is {self.tile} and overlap {self.overlap}; expected a multiple of {GRID}, and an "
                "overlap below it"
            )
        if not self.scales or min(self.scales) <= 0:
            raise RecipeError(f"inference.scales is {self.scales}; expected factors above 0")


def segment(network: Network, images: Tensor, sizes: Tensor | None, how: Inference) -> Tensor:
    """Logits `[N, K, H, W]` in fp32.

    Args:
        images: bytes `[N, C, H, W]`. sizes: `[N, 2]` (h, w) before padding, None where nothing is padded.
    """
    normalised = network.normalise(images, sizes)
    assert isinstance(normalised, Tensor)
    size = (images.shape[-2], images.shape[-1])
    total = torch.zeros((), device=normalised.device)
    for scale in how.scales:
        scaled = normalised if scale == 1 else _resized(normalised, (round(size[0] * scale), round(size[1] * scale)))
        for mirrored in (False, True) if how.flip else (False,):
            logits = _logits(network, scaled.flip(-1) if mirrored else scaled, how)
            logits = logits.flip(-1) if mirrored else logits
            total = total + (logits if scale == 1 else _resized(logits, size))
    return total / (len(how.scales) * (2 if how.flip else 1))


def _logits(network: Network, images: Tensor, how: Inference) -> Tensor:
    if not how.tile:
        return network.run(images).main
    height, width = images.shape[-2:]
    rows, columns = (_starts(side, how.tile, how.overlap) for side in (height, width))
    window = _window(how.tile, images)
    total, weight = None, images.new_zeros(height, width)
    for row in rows:
        for column in columns:
            place = (..., slice(row, row + how.tile), slice(column, column + how.tile))
            logits = network.run(images[place]).main
            seen = window[: logits.shape[-2], : logits.shape[-1]]
            total = logits.new_zeros((*logits.shape[:2], height, width)) if total is None else total
            total[place] += logits * seen
            weight[place] += seen
    assert total is not None
    return total / weight


def _starts(side: int, tile: int, overlap: int) -> list[int]:
    """Where as few tiles as can be begin, evenly apart, so that they cover `side`; all at multiples of `GRID`, so that
    the last may be cut short by the image's border."""
    last = -(-max(side - tile, 0) // GRID)
    steps = -(-last // max((tile - overlap) // GRID, 1))
    return [GRID * (last * number // steps) for number in range(steps)] + [GRID * last]


def _window(tile: int, like: Tensor) -> Tensor:
    """`[tile, tile]`: a Gaussian about the middle, never 0, as the border has seen the least."""
    distance = torch.arange(tile, device=like.device, dtype=torch.float32) + 0.5 - tile / 2
    line = torch.exp(-0.5 * (distance / (WIDTH * tile)) ** 2)
    return line[:, None] * line[None, :]


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
