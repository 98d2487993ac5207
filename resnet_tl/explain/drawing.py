"""Heat maps over images, with their scale."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from resnet_tl.explain.explain import Explanation
from resnet_tl.explain.view import Box, Map
from resnet_tl.fonts import lettering
from resnet_tl.prediction.drawing import to_rgb

OPACITY = 0.8
"""Of the largest value; that of 0 is 0, so that the image shows where nothing counts."""
NARROWEST = 240
"""Pixels of a picture's width at least: smaller images are enlarged by a whole factor, so that the caption fits."""

Pixels = npt.NDArray[np.uint8]


def heat(image: Pixels, values: Map, largest: float | None = None) -> Pixels:
    """Lays values over an image `[H, W, 3]`: from transparent (0 or less) through violet and red to yellow (the
    largest; by default that of `values`).

    The colours are inferno's: equal steps of the value look equally large, in grey and to the colour-blind too.
    """
    largest = float(values.max()) if largest is None else largest
    shares = (values / largest if largest > 0 else values).clip(0, 1)
    opacity = OPACITY * shares[..., None]
    colours = _colours()[(255 * shares).round().astype(np.uint8)]
    return (image * (1 - opacity) + colours * opacity).round().astype(np.uint8)


def picture(explanation: Explanation) -> Image.Image:
    """The image at its own size under its heat map, with the box that is explained; the caption and scale below."""
    pixels = to_rgb(explanation.image)
    factor = -(-NARROWEST // pixels.shape[1])
    image = Image.fromarray(heat(pixels, explanation.map)).resize(
        (pixels.shape[1] * factor, pixels.shape[0] * factor), Image.Resampling.NEAREST
    )
    if explanation.box is not None:
        _outline(image, explanation.box, factor)
    legend = _legend(image.width, explanation.caption, float(explanation.map.max()))
    joined = Image.new("RGB", (image.width, image.height + legend.height))
    joined.paste(image, (0, 0))
    joined.paste(legend, (0, image.height))
    return joined


def _outline(image: Image.Image, box: Box, factor: int) -> None:
    """A white line on a black one is seen on any image."""
    x1, y1, x2, y2 = (edge * factor for edge in box)
    right, bottom = max(min(x2, image.width) - 1, x1), max(min(y2, image.height) - 1, y1)
    canvas, unit = ImageDraw.Draw(image), max(1, image.width // 500)
    canvas.rectangle((x1, y1, right, bottom), outline="black", width=2 * unit)
    canvas.rectangle((x1, y1, right, bottom), outline="white", width=unit)


def _legend(width: int, caption: str, largest: float) -> Image.Image:
    """A strip with the caption, and the colours between 0 and the largest value."""
    unit = max(1.0, width / 500)
    line = round(20 * unit)
    text, font = lettering(caption, round(13 * unit))
    while font.getlength(text) > width - 8 * unit and len(text) > 2:
        text = text[:-2].rstrip("…") + "…"
    strip = Image.new("RGB", (width, 2 * line), "white")
    canvas, number = ImageDraw.Draw(strip), f"{largest:.3g}"
    canvas.text((4 * unit, 2 * unit), text, fill="black", font=font)
    left, right = round(18 * unit), width - round(font.getlength(number) + 8 * unit)
    canvas.text((4 * unit, line), "0", fill="black", font=font)
    canvas.text((right + 4 * unit, line), number, fill="black", font=font)
    ramp = np.broadcast_to(np.linspace(0, 1, max(right - left, 1), dtype=np.float32), (round(12 * unit), right - left))
    grey = np.full((*ramp.shape, 3), 200, np.uint8)
    strip.paste(Image.fromarray(heat(grey, ramp, 1.0)), (left, line + round(2 * unit)))
    return strip


@lru_cache(maxsize=1)
def _colours() -> Pixels:
    """`[256, 3]` RGB."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[:, 0, ::-1])
