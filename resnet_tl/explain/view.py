"""What the network sees of an image, and maps of that moved back onto the image."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from resnet_tl.data.images.crops import Views
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.transforms import Transform
from resnet_tl.prediction.loader import Input

Map: TypeAlias = npt.NDArray[np.float32]
Box: TypeAlias = tuple[float, float, float, float]


class View(NamedTuple):
    """An image to draw on, and the part of it that the network sees.

    image: `[H, W, C]`. window: x1, y1, x2, y2 in its pixels.
    """

    image: ImageArray
    window: Box

    def onto_image(self, values: Tensor) -> Map:
        """Moves a map `[h, w]` of the network's input onto the image, `[H, W]`; 0 where the network sees nothing."""
        height, width = self.image.shape[:2]
        x1, y1, x2, y2 = (round(edge) for edge in self.window)
        placed = np.zeros((height, width), np.float32)
        resized = F.interpolate(values[None, None].float(), (y2 - y1, x2 - x1), mode="bilinear", align_corners=False)
        placed[y1:y2, x1:x2] = resized[0, 0].cpu().numpy()
        return placed


def view_of(each: Input, transform: Transform, *, whole: bool) -> View:
    """Returns what a predictor's transform leaves of an image.

    whole: of the whole image. Otherwise it is the centre crop or, where a recipe lists its own transforms, an image
    whose parts may be anywhere in the original: then the transformed one is drawn on.
    """
    assert each.image is not None
    if isinstance(transform, Views):
        return View(each.image, transform.centre(each.image.shape[0], each.image.shape[1]))
    image = each.image if whole else each.pixels
    return View(image, (0, 0, image.shape[1], image.shape[0]))
