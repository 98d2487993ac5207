"""Images with predicted objects drawn on them, for people: readable whatever the image's size."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.files import atomic_write
from resnet_tl.fonts import lettering
from resnet_tl.models.pasting import Cutout

SMALLEST = 480
"""Pixels of a drawing's short side, unless one asks for others: smaller images are enlarged, so that captions fit."""

Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]


def draw(
    array: npt.NDArray[np.uint8],
    boxes: npt.NDArray[np.float32],
    labels: Sequence[int],
    captions: Sequence[str],
    masks: Sequence[Cutout] | None = None,
    *,
    smallest: int = SMALLEST,
) -> Image.Image:
    """Draws D objects on an image: boxes, captions and masks, the first object on top.

    Args:
        array: `[H, W, 3]` RGB.
        boxes: `[D, 4]` x1, y1, x2, y2 in its pixels.
        labels: D class indices; objects of one class have one colour.
        captions: D texts; "": no caption.
        masks: D masks, or None.
        smallest: pixels of the drawing's short side at least.
    """
    pixels = array.copy()
    for mask, label in reversed(list(zip(masks or [], labels, strict=False))):
        _tint(pixels, mask, colour_of(label))
    image = Image.fromarray(pixels)
    scale = max(1.0, smallest / min(image.size))
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    unit = max(1.0, min(image.size) / SMALLEST)  # pixels of the drawing that look like one
    canvas = ImageDraw.Draw(image)
    for box, label in reversed(list(zip(boxes * scale, labels, strict=True))):
        canvas.rectangle(_inside(box, image.size), outline=colour_of(label), width=round(2 * unit))
    taken: list[Box] = []
    for box, label, caption in zip(boxes * scale, labels, captions, strict=True):
        if not caption:
            continue
        text, font = lettering(caption, round(13 * unit))
        left, top, right, bottom = canvas.textbbox((0, 0), text, font=font)
        plate = _place(box, (right - left + 4 * unit, bottom - top + 4 * unit), image.size, taken)
        taken.append(plate)
        canvas.rectangle(plate, fill=colour_of(label))
        corner = (plate[0] + 2 * unit - left, plate[1] + 2 * unit - top)
        canvas.text(corner, text, fill=ink_on(colour_of(label)), font=font)
    return image


def ink_on(colour: Colour) -> str:
    """Returns black or white, whichever has more contrast with a colour (relative luminance as in WCAG 2.2)."""
    light = [value / 3295 if value < 11 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour]
    return "black" if np.dot(light, (0.2126, 0.7152, 0.0722)) > 0.179 else "white"


def save(image: Image.Image, path: Path) -> None:
    """Writes a picture whole or not at all; the ending decides its format.

    Raises:
        RunError: the file cannot be written.
    """
    with atomic_write(path) as file:
        image.save(file, Image.registered_extensions()[path.suffix.lower()], quality=92)


def to_rgb(image: ImageArray) -> npt.NDArray[np.uint8]:
    """`[H, W, C]` -> `[H, W, 3]`: the first channel where there are not three, 16 bits stretched to 8."""
    pixels = image if image.dtype == np.uint8 else (image / max(int(image.max()), 1) * 255).astype(np.uint8)
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels[..., :1], 3, axis=2)


def colour_of(label: int) -> Colour:
    """A vivid colour, far from those of neighbouring labels: hues are a golden ratio apart."""
    red, green, blue = colorsys.hsv_to_rgb((0.02 + label * 0.618034) % 1, 0.85, 0.75 + 0.25 * (label % 2))
    return round(255 * red), round(255 * green), round(255 * blue)


def _tint(pixels: npt.NDArray[np.uint8], mask: Cutout, colour: Colour, opacity: float = 0.45) -> None:
    """Colours the mask's pixels in place: its rim fully, its inside half-transparent."""
    inside, (height, width) = mask.pixels, mask.pixels.shape
    part = pixels[mask.top : mask.top + height, mask.left : mask.left + width]
    middle = np.pad(inside, 1)
    core = middle[:-2, 1:-1] & middle[2:, 1:-1] & middle[1:-1, :-2] & middle[1:-1, 2:] & inside
    part[inside] = (part[inside] * (1 - opacity) + np.array(colour) * opacity).astype(np.uint8)
    part[inside & ~core] = colour


def _inside(box: npt.NDArray[np.float32], size: tuple[int, int]) -> Box:
    """The box as Pillow draws it: its right and lower edges are the last pixels inside."""
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, max(min(x1, size[0]) - 1, x0), max(min(y1, size[1]) - 1, y0)


def _place(box: npt.NDArray[np.float32], plate: tuple[float, float], size: tuple[int, int], taken: list[Box]) -> Box:
    """Where a caption goes: above the box, else in its corner, below it or at its right, where it hides no other."""
    (x0, y0, x1, y1), (width, height) = box.tolist(), plate
    corners = [(x0, y0 - height), (x0, y0), (x0, y1), (x1 - width, y1 - height), (x1, y0)]
    places = [_moved_inside(corner, plate, size) for corner in corners]
    return next((place for place in places if not any(_touch(place, other) for other in taken)), places[0])


def _moved_inside(corner: tuple[float, float], plate: tuple[float, float], size: tuple[int, int]) -> Box:
    """The caption's rectangle, moved as far into the image as needed."""
    x, y = (max(0.0, min(at, limit - 1 - side)) for at, side, limit in zip(corner, plate, size, strict=True))
    return x, y, x + plate[0], y + plate[1]


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
