"""What happens to a decoded image before it joins a batch: presets for training, views for evaluation.

Images stay uint8 or uint16 here; the network normalises them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, get_args

from resnet_tl.data.images.augment import Augment, Change, Strength, preset
from resnet_tl.data.images.crops import Seed, Views
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.erase import RandomErasing
from resnet_tl.data.images.resize import Interpolation
from resnet_tl.errors import RecipeError, did_you_mean


class Transform(Protocol):
    def __call__(self, image: ImageArray, original: tuple[int, int], seed: Seed) -> ImageArray:
        """`[H, W, C]` -> its views `[V, size, size, C]`, of the same dtype.

        `original` is the file's (h, w); an image decoded or cached at a reduced size is smaller.
        """

    def reduction(self, original: tuple[int, int], seed: Seed) -> int:
        """Returns the largest of 1, 2, 4, 8 by which the decoder may divide the size without a crop being enlarged."""


def training_transform(
    strength: Strength, size: int, interpolation: Interpolation = "bilinear", erase: float = 0.0
) -> Transform:
    """Returns a preset for classification.

    Args:
        strength:
            none: the centre of the image with its short side resized; the same in every epoch.
            light: a random crop of 35 to 100 % of the area, mirrored with probability 0.5; see `Augment`.
            medium: a crop of 20 to 100 %, with small changes of brightness, contrast and colour.
            strong: a crop of 8 to 100 %, also rotated, sheared, blurred or sharpened, sometimes grey, sometimes with a
                part erased; for long training.
            trivial: TrivialAugment, a crop of 8 to 100 % changed by one of 14 operations; see `POLICIES`.
            rand: RandAugment, by two of them, of less magnitude.
        size: side of the resulting square in pixels.
        interpolation: bilinear, bicubic or nearest.
        erase: share of the images in which a part is erased at the end; not with none.

    Raises:
        RecipeError: an unknown strength.
    """
    if strength not in get_args(Strength):
        known = get_args(Strength)
        raise RecipeError(f"augment: {strength!r} is not one of {', '.join(known)}{did_you_mean(strength, known)}")
    if strength == "none":
        return Views(size, interpolation=interpolation)
    smallest, change = preset(strength)
    changes: list[Change] = [change, RandomErasing(erase)] if erase else [change]
    return Augment(size, (smallest, 1.0), interpolation, changes)


def evaluation_transform(
    size: int,
    crop: float = 0.875,
    interpolation: Interpolation = "bilinear",
    crops: int = 1,
    scales: Sequence[int] = (),
) -> Transform:
    """Returns the centre crop of `size` x `size` from an image whose short side is resized to `size / crop`.

    Args:
        crops: 10: the four corners and the centre, and the same mirrored (He et al. 2015, section 3.4).
        scales: short sides in pixels, in place of `size / crop`; each of several adds its own views.

    Raises:
        RecipeError: crops other than 1 and 10, a crop outside 0...1, a scale below `size`.
    """
    if not 0 < crop <= 1:
        raise RecipeError(f"data.crop is {crop}; expected a share of the short side, more than 0 and at most 1")
    if crops not in (1, 10):
        raise RecipeError(f"data.crops is {crops}; expected 1 or 10")
    if small := [scale for scale in scales if scale < size]:
        raise RecipeError(
            f"data.scales: a short side of {small[0]} is smaller than data.image_size {size}; expected {size} or more"
        )
    return Views(size, tuple(scales) or (int(size / crop),), interpolation, crops)
