"""Pictures of images with boxes: what was found, missed, and seen where it is not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from resnet_tl.fonts import lettering

HIT, WRONG, MISSED = "#10b981", "#ef4444", "#f59e0b"
LONG = 720
"""Pixels of the long side of a picture."""
CROP = 200
"""Pixels of the long side of a picture of one object."""


class Drawn(NamedTuple):
    """A box x1, y1, x2, y2 in pixels of the image, its colour, and a caption; a missed object is dashed."""

    box: npt.NDArray[np.float64]
    colour: str
    caption: str
    dashed: bool = False


def whole(pixels: npt.NDArray[np.uint8], boxes: list[Drawn]) -> Image.Image:
    """Returns the image `[H, W, 3]` with its boxes, at most `LONG` pixels long."""
    return _draw(Image.fromarray(pixels), boxes, LONG, captions=True)


def crop(pixels: npt.NDArray[np.uint8], boxes: list[Drawn]) -> Image.Image:
    """Returns the surroundings of the first box, with all boxes."""
    x1, y1, x2, y2 = boxes[0].box
    half = max(x2 - x1, y2 - y1, 24) * 0.85
    left, top = (round(max((low + high) / 2 - half, 0)) for low, high in ((x1, x2), (y1, y2)))
    right, bottom = min(round(left + 2 * half), pixels.shape[1]), min(round(top + 2 * half), pixels.shape[0])
    part = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    moved = [each._replace(box=each.box - np.array([left, top, left, top])) for each in boxes]
    return _draw(part, moved, CROP, captions=False)


def _draw(image: Image.Image, boxes: list[Drawn], long: int, captions: bool) -> Image.Image:
    factor = long / max(image.size)
    if factor < 1 or not captions:
        size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
        image = image.resize(size, Image.Resampling.BICUBIC)
    else:
        factor = 1.0
    canvas = ImageDraw.Draw(image)
    for each in reversed(boxes):
        corners = (each.box * factor).tolist()
        if each.dashed:
            _dashes(canvas, corners, each.colour)
        else:
            canvas.rectangle(corners, outline=each.colour, width=2)
        if captions and each.caption:
            text, font = lettering(each.caption, 12)
            x, y = corners[0], max(corners[1] - 14, 0)
            canvas.rectangle(canvas.textbbox((x + 2, y), text, font=font), fill=each.colour)
            canvas.text((x + 2, y), text, fill="white", font=font)
    return image


def _dashes(canvas: ImageDraw.ImageDraw, corners: list[float], colour: str, dash: int = 6) -> None:
    x1, y1, x2, y2 = corners
    for x in np.arange(x1, x2, 2 * dash):
        for y in (y1, y2):
            canvas.line([(x, y), (min(x + dash, x2), y)], fill=colour, width=2)
    for y in np.arange(y1, y2, 2 * dash):
        for x in (x1, x2):
            canvas.line([(x, y), (x, min(y + dash, y2))], fill=colour, width=2)
