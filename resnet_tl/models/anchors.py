"""Anchors: the boxes that dense heads and region proposals start from, a few in every cell of every level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from resnet_tl.structures.records import Level

RATIOS = (0.5, 1.0, 2.0)
"""Height over width."""


class Anchors(nn.Module):
    """Boxes of every size and ratio in every cell of every level.

    Cell i of a level is centred at i x stride pixels: that is where a ResNet's convolutions, with symmetric padding,
    look.

    Args:
        levels: shallow to deep.
        sizes: for each level, the sides of its anchors as squares, in pixels.
        ratios: heights over widths; the area stays that of the square.
        floor_strides: place cells (image side // number of cells) pixels apart, as torchvision does: 106 rather than
            128 for the 3 cells of p7 over 320 pixels. Its published weights were trained that way.
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
        """Returns the anchors `[rows * columns * per_cell, 4]` of each level in pixels, row by row.

        Args:
            grids: (rows, columns) of each level's map.
            input_size: (h, w) of the images in pixels.
        """
        cells = [getattr(self, f"cell{number}") for number in range(len(grids))]
        return [
            (_corners(grid, steps, cell.device)[:, None] + cell).reshape(-1, 4)
            for grid, steps, cell in zip(grids, self.steps(input_size), cells, strict=True)
        ]

    def steps(self, input_size: tuple[int, int]) -> list[tuple[int, int]]:
        """Returns the distance between cells in pixels, down and across, of each level."""
        if self.floor_strides:
            height, width = input_size
            # Rounded up without negative numbers: exported graphs round their quotients towards zero.
            cells = [((height + stride - 1) // stride, (width + stride - 1) // stride) for stride in self.strides]
            return [(height // rows, width // columns) for rows, columns in cells]
        return [(stride, stride) for stride in self.strides]


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """Returns boxes `[ratios * sizes, 4]` around (0, 0), ratio by ratio, rounded to whole pixels as in torchvision."""
    size, root = torch.tensor(sizes, dtype=torch.float32), torch.tensor(ratios, dtype=torch.float32).sqrt()[:, None]
    half = torch.stack([(1 / root * size).flatten(), (root * size).flatten()], 1) / 2
    return torch.cat([-half, half], 1).round()


def _corners(grid: tuple[int, int], steps: tuple[int, int], device: torch.device) -> Tensor:
    """Returns the centres (x, y, x, y) of all cells, `[rows * columns, 4]`."""
    y = torch.arange(grid[0], device=device) * steps[0]
    x = torch.arange(grid[1], device=device) * steps[1]
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y, x, y], -1).reshape(-1, 4)
