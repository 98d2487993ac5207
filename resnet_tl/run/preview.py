"""A contact sheet of training images as the network receives them: cropped and augmented, with their labels."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from resnet_tl.data.base import ImageData
from resnet_tl.data.images.dataset import ImageDataset, Item
from resnet_tl.data.segmentation import SegmentationData
from resnet_tl.models.pasting import Cutout
from resnet_tl.prediction.contact_sheet import Tile, sheet
from resnet_tl.prediction.drawing import draw, save, to_rgb
from resnet_tl.prediction.writers.masks import overlay
from resnet_tl.structures.masks import to_pixels
from resnet_tl.structures.records import IGNORE, Boxes
from resnet_tl.structures.records import Draw as Drawn

__all__ = ["preview", "save"]

ACROSS = 4
"""Images in a row, fewer where there are fewer images; one image in several epochs is in one row."""
IGNORED = (255, 255, 255)
"""The colour of ignored pixels."""


def preview(data: ImageData, count: int, epochs: int) -> Image.Image:
    """Draws the first `count` images of the first epoch; each also as later epochs show it.

    What mixup and cutmix do is not shown: they mix whole batches, on the device. Images with masks are without their
    padding, of which the caption gives the size: `80 x 64 of 512 x 512`.

    Raises:
        DataError: an image that cannot be decoded.
    """
    loader = data.train_dataloader()
    dataset = loader.dataset
    assert isinstance(dataset, ImageDataset)
    order = dict.fromkeys(draw.index for draw in loader.sampler)  # type: ignore[attr-defined]  # draws, not integers
    tiles = [
        _tile(data, dataset, Drawn(epoch, index), epochs) for index in list(order)[:count] for epoch in range(epochs)
    ]
    across = epochs * max(1, min(ACROSS // epochs, count))
    legend = _legend(data) if isinstance(data, SegmentationData) else []
    return sheet(tiles, across, legend)


def _tile(data: ImageData, dataset: ImageDataset, drawn: Drawn, epochs: int) -> Tile:
    item = dataset[drawn]
    name = PurePosixPath(data.listings["train"].key(item.row)).name
    words = [_label(data, item), name, f"epoch {drawn.epoch + 1}" if epochs > 1 else "", _padding(data, item)]
    return Tile(_with_targets(data, item), " · ".join(filter(None, words)))


def _label(data: ImageData, item: Item) -> str:
    """Returns the class or classes of an image that has them as a whole."""
    if isinstance(item.target, int):
        return data.classes[item.target]
    multi_hot = isinstance(item.target, np.ndarray) and item.target.ndim == 1
    return ", ".join(data.classes[i] for i in np.flatnonzero(item.target)) or "no class" if multi_hot else ""


def _padding(data: ImageData, item: Item) -> str:
    """Returns how much of a padded crop is the image, "" for all of it."""
    height, width = item.views.shape[1:3]
    if not isinstance(data, SegmentationData) or item.size in (None, (height, width)):
        return ""
    return f"{item.size[1]} x {item.size[0]} of {width} x {height}"


def _with_targets(data: ImageData, item: Item) -> Image.Image:
    pixels = to_rgb(item.views[0])
    if isinstance(item.target, Boxes):
        objects, size = item.target, (pixels.shape[0], pixels.shape[1])
        labels, boxes = objects.labels.tolist(), objects.boxes.numpy()
        masks = None if objects.masks is None else [Cutout(to_pixels(mask, *size), 0, 0) for mask in objects.masks]
        captions = [
            f"{data.classes[label]}{' (crowd)' if crowd else ''}"
            for label, crowd in zip(labels, objects.crowd.tolist(), strict=True)
        ]
        return draw(pixels, boxes, labels, captions, masks)
    if isinstance(data, SegmentationData):
        height, width = item.size or item.target.shape
        return overlay(pixels[:height, :width], item.target[:height, :width], _colours(data))
    return Image.fromarray(pixels)


def _colours(data: SegmentationData) -> np.ndarray:
    """Returns the colours of all values of a mask, `[256, 3]`."""
    colours = np.full((IGNORE + 1, 3), IGNORED, np.uint8)
    colours[: len(data.colours)] = data.colours
    return colours


def _legend(data: SegmentationData) -> list[tuple[str, tuple[int, ...]]]:
    named = zip(data.classes, data.colours.tolist(), strict=True)
    return [*((name, tuple(colour)) for name, colour in named), ("ignored", IGNORED)]
