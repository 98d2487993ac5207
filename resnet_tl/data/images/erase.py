"""Random erasing (arXiv:1708.04896) for classification: the pixels of a random rectangle become random."""

from __future__ import annotations

import numpy as np

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.deferred import Deferred

AREA = (0.02, 0.33)
"""Share of the image, drawn uniformly (torchvision's `RandomErasing` and timm's; the paper: 0.02 to 0.4)."""
ASPECT = (0.3, 3.3)
"""Width by height, drawn uniformly in its logarithm (torchvision's and timm's; the paper's range, too)."""
ATTEMPTS = 10
"""Draws of a rectangle that fits, as torchvision's and timm's."""


class RandomErasing:
    """Erases a rectangle of an image with `probability`: each of its values becomes a random one of the whole range, as
    in the paper's best variant (section 3.2, RE-R)."""

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, image: ImageArray, rng: np.random.Generator) -> ImageArray:
        """`[H, W, C]` -> `[H, W, C]` of the same dtype."""
        if rng.random() >= self.probability or (hole := _rectangle(image.shape[0], image.shape[1], rng)) is None:
            return image
        seed = int(rng.integers(1 << 63))
        if isinstance(image, Deferred):
            return image.coloured({"RandomErasing": {"hole": hole, "seed": seed}})
        left, top, right, bottom = hole
        erased = image.copy()
        part, most = erased[top:bottom, left:right], np.iinfo(image.dtype).max
        part[:] = np.random.default_rng(seed).integers(0, most, part.shape, image.dtype, endpoint=True)
        return erased


def _rectangle(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """Returns (left, top, right, bottom); None where none of `ATTEMPTS` fits."""
    for _ in range(ATTEMPTS):
        area = height * width * rng.uniform(*AREA)
        aspect = float(np.exp(rng.uniform(*np.log(ASPECT))))
        h, w = round((area / aspect) ** 0.5), round((area * aspect) ** 0.5)
        if 0 < h < height and 0 < w < width:
            top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
            return left, top, left + w, top + h
    return None
