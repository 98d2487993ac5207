"""Images that are made smaller before they are packed, with their boxes and masks."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from PIL import Image

from resnet_tl.data.images.class_masks import Pixels, read_pixels
from resnet_tl.data.images.decode import decode_bytes
from resnet_tl.data.images.resize import resize, resize_short, short_size
from resnet_tl.data.listings.boxes import BoxListing
from resnet_tl.data.listings.listing import ImageSet
from resnet_tl.data.listings.masks import MaskSet, pixel_counts
from resnet_tl.data.listings.objects import PackedMasks, PackedObjects
from resnet_tl.data.listings.rows import Rows
from resnet_tl.structures import masks
from resnet_tl.structures.records import Interpolation

QUALITY = 95
"""Of JPEGs."""
COUNTED = 1000
"""The most masks whose pixels are counted again."""


@dataclass(frozen=True)
class Shrink:
    """Reduces images whose short side is longer than `short` pixels to that; others stay as they are.

    channels: of the images.
    """

    short: int
    channels: int
    interpolation: Interpolation

    def size(self, height: int, width: int) -> tuple[int, int]:
        return short_size(height, width, self.short) if min(height, width) > self.short else (height, width)

    def image(self, content: bytes, path: str) -> bytes:
        """Returns a file's content, or that of the smaller, upright image: a JPEG where it was one, else a PNG, or an
        array (`.npy`) for other channels than 1 and 3.

        Raises:
            DataError: it cannot be decoded.
        """
        image = decode_bytes(content, path, self.channels)
        if min(image.shape[:2]) <= self.short:
            return content
        image = np.ascontiguousarray(resize_short(image, self.short, self.interpolation))
        if self.channels not in (1, 3):
            return _as_npy(image)
        if self.channels == 3:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        jpeg = content.startswith(b"\xff\xd8")
        options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if jpeg else []
        return cv2.imencode(".jpg" if jpeg else ".png", image, options)[1].tobytes()

    def mask(self, content: bytes, path: str) -> bytes:
        """Returns a mask file's content, or a PNG of the same values, indices or colours of nearest pixels.

        Raises:
            DataError: it cannot be decoded.
        """
        pixels = read_pixels(path)
        height, width = pixels.values.shape
        if min(height, width) <= self.short:
            return content
        return _as_png(pixels._replace(values=self._nearest(pixels.values)))

    def images(self, images: ImageSet[Any]) -> ImageSet[Any]:
        """Returns the set with the boxes, polygons and run lengths of the smaller images."""
        splits: dict[str, Any] = {
            split: self._boxes(listing) if isinstance(listing, BoxListing) else listing
            for split, listing in images.splits.items()
        }
        if not isinstance(images, MaskSet) or "train" not in images.splits:
            return replace(images, splits=splits)
        train = images.splits["train"]
        sample = range(0, len(train), max(1, -(-len(train) // COUNTED)))
        pixels = sum((pixel_counts(self._nearest(train.mask(index))) for index in sample), np.zeros(255, np.int64))
        return replace(images, splits=splits, pixels=pixels[: len(images.classes)])

    def _nearest(self, values: np.ndarray) -> np.ndarray:
        """values: `[H, W]`."""
        return resize(values[..., None], *self.size(*values.shape), "nearest")[..., 0]

    def _boxes(self, listing: BoxListing) -> BoxListing:
        sizes = np.array([self.size(*size) for size in listing.sizes.tolist()], np.int32).reshape(-1, 2)
        factors = (sizes / listing.sizes)[:, ::-1]  # [N, 2] of x and y
        packed = listing.packed
        owner = np.repeat(np.arange(len(sizes)), np.diff(packed.starts))
        of_object = factors[owner]
        smaller = PackedObjects(
            packed.starts,
            (packed.boxes * np.tile(of_object, 2)).astype(np.float32),
            packed.labels,
            packed.crowd,
            (packed.area * of_object.prod(1)).astype(np.float32),
            packed.masks and _masks(packed.masks, of_object, listing.sizes[owner], sizes[owner]),
        )
        return type(listing)(listing.root, listing._keys, sizes, smaller)


def _masks(packed: PackedMasks, factors: np.ndarray, sizes: np.ndarray, to_sizes: np.ndarray) -> PackedMasks:
    """factors: `[M, 2]` of x and y. sizes, to_sizes: `[M, 2]` (h, w), of the image of each object."""
    owner = np.repeat(np.arange(len(factors)), np.diff(packed.starts))
    of_corner = np.repeat(factors[owner], packed.polygons.lengths // 2, axis=0)
    polygons = Rows((packed.polygons.values * of_corner.ravel()).astype(np.float32), packed.polygons.offsets)
    runs: list[Any] = []
    for index in range(len(factors)):
        counts = packed.runs[index]
        if len(counts):
            size, to_size = tuple(sizes[index].tolist()), tuple(to_sizes[index].tolist())
            resized = masks.resize(masks.RunLengths(counts, size), size, to_size)
            assert isinstance(resized, masks.RunLengths)
            counts = resized.counts
        runs.append(counts.tolist())
    return PackedMasks(polygons, packed.starts, Rows.of(runs))


def _as_png(pixels: Pixels) -> bytes:
    values = np.ascontiguousarray(pixels.values)
    if pixels.kind == "colour":
        values = np.stack([values >> np.uint32(shift) & np.uint32(255) for shift in (16, 8, 0)], -1).astype(np.uint8)
    image = Image.fromarray(values)
    if pixels.palette is not None:
        colours = np.stack([pixels.palette >> shift & 255 for shift in (16, 8, 0)], -1).astype(np.uint8)
        image.putpalette(colours.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _as_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
