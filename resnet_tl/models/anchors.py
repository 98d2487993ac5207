"""The boxes that dense heads and region proposals start from: a few on every cell of every level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from resnet_tl.structures.records import Level

RATIOS = (0.5, 1.0, 2.0)
"""Height over width."""


class Anchors(nn.Module):
    """Boxes of each of the level's `sizes` (sides of a square, pixels) and each of the `ratios`, centred where a cell
    looks: cell i of a level at i x stride, as a ResNet's convolutions with their symmetric padding have it.

    Args:
        levels: shallow to deep.
        sizes: a list for each of them.
        floor_strides: put cells (image's side // cells) pixels apart, as torchvision does: 106 rather than 128 for
            the 3 cells of p7 over 320 pixels. Its published weights were trained like that.
    """

    def __init__(
        self,
        levels: list[Level],
        sizes: Sequence[Sequence[float]],
        ratios: Sequence[float] = RATIOS,
        *,
        floor_strides: bool = False,
    ) -> None:
        super().__init__()
        self.strides = [level.stride for level in levels]
        self.per_cell = len(sizes[0]) * len(ratios)
        self.floor_strides = floor_strides
        for number, of_level in enumerate(sizes):
            self.register_buffer(f"cell{number}", cell_anchors(of_level, ratios), persistent=False)

    def forward(self, grids: Sequence[tuple[int, int]], input_size: tuple[int, int]) -> list[Tensor]:
        """A level: `[rows * columns * per_cell, 4]`, row by row, from its grid (rows, columns)."""
        cells = [getattr(self, f"cell{number}") for number in range(len(grids))]
        return [
            (_corners(grid, steps, cell.device)[:, None] + cell).reshape(-1, 4)
            for grid, steps, cell in zip(grids, self.steps(grids, input_size), cells, strict=True)
        ]

    def steps(self, grids: Sequence[tuple[int, int]], input_size: tuple[int, int]) -> list[tuple[int, int]]:
        """Pixels from a cell to the next, down and across, on each level."""
        if self.floor_strides:
            return [(input_size[0] // rows, input_size[1] // columns) for rows, columns in grids]
        return [(stride, stride) for stride in self.strides]


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """`[ratios * sizes, 4]` around (0, 0), ratio by ratio, in whole pixels as torchvision rounds them."""
    size, root = torch.tensor(sizes, dtype=torch.float32), torch.tensor(ratios, dtype=torch.float32).sqrt()[:, None]
    half = torch.stack([(1 / root * size).flatten(), (root * size).flatten()], 1) / 2
    return torch.cat([-half, half], 1).round()


def _corners(grid: tuple[int, int], steps: tuple[int, int], device: torch.device) -> Tensor:
    """`[rows * columns, 4]`: x, y, x, y of every cell."""
    y = torch.arange(grid[0], device=device) * steps[0]
    x = torch.arange(grid[1], device=device) * steps[1]
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y, x, y], -1).reshape(-1, 4)
