"""Evaluation preprocessing of segmentation and detection: the whole image, resized."""

from __future__ import annotations

from typing import cast

from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.resize import Interpolation, resize, resized_size
from resnet_tl.structures.records import Preprocessing


class WholeImage:
    """Resizes the whole image as validation does: its short side to `preprocessing.size` pixels (0: unchanged), its
    long side to at most `max_size`."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing

    def __call__(self, image: ImageArray, original: tuple[int, int], seed: Seed) -> ImageArray:
        """`[H, W, C]` -> one view `[1, h, w, C]`."""
        size, longest = self.preprocessing.size, self.preprocessing.max_size
        height, width = resized_size(image.shape[0], image.shape[1], size, longest)
        return resize(image, height, width, cast(Interpolation, self.preprocessing.interpolation))[None]

    def reduction(self, original: tuple[int, int], seed: Seed) -> int:
        """1: predictions are at the image's own size, so all of it is decoded."""
        return 1
