"""A canvas: colours and class labels on a grid finer than the image's, on which polygons are painted."""

from __future__ import annotations

import numpy as np

from drawing.shapes import Part, turning

FINE = 3
"""Points per side of a pixel, for smooth edges."""


class Canvas:
    """image `[H*FINE, W*FINE, 3]` 0...1 and labels `[H*FINE, W*FINE]` of an image of H x W pixels."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.image = np.zeros((height * FINE, width * FINE, 3))
        self.labels = np.zeros((height * FINE, width * FINE), dtype=np.uint8)

    def paint(self, part: Part, label: int, grain: np.ndarray | float = 1.0) -> np.ndarray:
        """Paints one part, lit from above, times `grain`; returns the points it covers, `[H*FINE, W*FINE]` bool."""
        covered = np.zeros(self.labels.shape, dtype=bool)
        low = np.maximum(np.floor(part.outline.min(0) * FINE).astype(int), 0)
        high = np.minimum(np.ceil(part.outline.max(0) * FINE).astype(int), self.labels.shape[::-1])
        if (low >= high).any():
            return covered
        window = slice(low[1], high[1]), slice(low[0], high[0])
        y, x = (np.mgrid[window] + 0.5) / FINE
        covered[window] = inside(part.outline, x, y)
        top, bottom = part.outline[:, 1].min(), part.outline[:, 1].max()
        light = 1.12 - 0.3 * (y - top) / (bottom - top)
        texture = grain[window] if isinstance(grain, np.ndarray) else grain
        hit = covered[window]
        self.image[window][hit] = np.clip((light * texture)[..., None] * part.colour, 0, 1)[hit]
        self.labels[window][hit] = label
        return covered

    def downsampled(self) -> np.ndarray:
        """`[H, W, 3]` 0...1: the mean over each pixel's points."""
        return self.image.reshape(self.height, FINE, self.width, FINE, 3).mean(axis=(1, 3))

    def centres(self, points: np.ndarray) -> np.ndarray:
        """Returns the values at the centres of pixels: `[H*FINE, W*FINE]` to `[H, W]`."""
        return points[FINE // 2 :: FINE, FINE // 2 :: FINE]

    def mixed(self) -> np.ndarray:
        """Returns which pixels have points of different labels, `[H, W]` bool."""
        cells = self.labels.reshape(self.height, FINE, self.width, FINE)
        return cells.min(axis=(1, 3)) != cells.max(axis=(1, 3))


def inside(outline: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns which of the points (x, y) are in the polygon, by the even-odd rule."""
    odd = np.zeros(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y0 != y1:
            odd ^= ((y0 <= y) != (y1 <= y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return odd


def posed(parts: list[Part], x: float, y: float, size: float, turn: float, flip: bool, stretch: float) -> list[Part]:
    """Places a thing of -1...1 on the canvas: centre and half extent in pixels, angle, mirrored or not."""
    matrix = turning(turn) @ np.diag([-size if flip else size, size * stretch])
    return [Part(outline @ matrix.T + (x, y), colour) for outline, colour in parts]


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Returns smooth random values 0...1, `[H, W]`: a lattice of `cells` (down, across), interpolated."""
    lattice = rng.random((cells[0] + 2, cells[1] + 2))
    rows, columns = (np.arange(n) * (c / n) for n, c in zip(shape, cells, strict=True))
    r, c = rows.astype(int), columns.astype(int)
    v, h = (t * t * (3 - 2 * t) for t in ((rows - r)[:, None], columns - c))
    above = lattice[r][:, c] * (1 - h) + lattice[r][:, c + 1] * h
    below = lattice[r + 1][:, c] * (1 - h) + lattice[r + 1][:, c + 1] * h
    return above * (1 - v) + below * v
