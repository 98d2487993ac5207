"""What a data set consists of, in numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from resnet_tl.data.checks.bars import Panel, draw_bars
from resnet_tl.data.images.decode import decode
from resnet_tl.data.listings.boxes import BoxListing
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.values import ValueListing
from resnet_tl.errors import DataError

if TYPE_CHECKING:
    from resnet_tl.data.base import ImageData

SAMPLED = 1000
"""Images of a split that are decoded for sizes and colours, at most: evenly many of it."""
SIZES = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, float("inf"))}
"""Areas of objects in square pixels, as COCO groups its scores."""


def stats(data: ImageData, decoded: int = SAMPLED) -> dict[str, Any]:
    """Numbers of a data module, as plain Python.

    splits: split -> images. classes: class -> split -> images that show it (objects, or pixels, where they are
    annotated). sizes: of images, `[smallest, median, largest]` of widths and of heights in pixels. channels: mean and
    standard deviation of each channel of the training images, 0...1. decoded: the images that sizes and channels are
    of, as a sentence. objects: small, medium and large ones, without
    crowds; objects_by_class: the same of each class. values: number -> split -> `[smallest, median, largest]`.

    Args:
        decoded: images at most that are decoded, for sizes and channels.
    """
    numbers: dict[str, Any] = {"splits": {split: len(listing) for split, listing in data.listings.items()}}
    counted, counts = _counts(data)
    numbers["classes"] = {
        name: {split: int(count[index]) for split, count in counts.items()} for index, name in enumerate(data.classes)
    }
    numbers["counted"] = counted
    if values := _values(data):
        numbers["values"] = values
    first = "train" if "train" in data.listings else next(iter(data.listings))
    numbers |= _images(data.listings[first], first, data.channels, decoded)
    listings = [listing for listing in data.listings.values() if isinstance(listing, BoxListing)]
    if listings and counted == "objects":
        numbers["objects_by_class"] = _objects_by_size(listings, data.classes)
        numbers["objects"] = {
            size: sum(counts[size] for counts in numbers["objects_by_class"].values()) for size in SIZES
        }
    return numbers


def stats_picture(numbers: Mapping[str, Any]) -> Image.Image:
    """Draws the counts of `stats`, and `anchors` where they hold them, as bars."""
    panels = [Panel(f"{numbers['counted'].capitalize()} by class", numbers["classes"])]
    if "objects" in numbers:
        panels.append(Panel("Objects by size", {size: {"all": count} for size, count in numbers["objects"].items()}))
    if "anchors" in numbers:
        fit = numbers["anchors"]
        rows = {**fit["levels"], "no anchor": fit["none"]}
        title = f"Training objects by the anchors that fit ({fit['head']}, images of {fit['image_size']} pixels)"
        panels.append(Panel(title, {name: {"train": count} for name, count in rows.items()}))
    return draw_bars(panels)


def _values(data: ImageData) -> dict[str, dict[str, list[float]]]:
    """Returns number -> split -> `[smallest, median, largest]`; nothing where images have no numbers."""
    found = {split: listing.values for split, listing in data.listings.items() if isinstance(listing, ValueListing)}
    return {
        name: {split: np.quantile(values[:, index], (0, 0.5, 1)).tolist() for split, values in found.items()}
        for index, name in enumerate(data.classes)
        if found
    }


def _objects_by_size(listings: Sequence[BoxListing], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Returns how many objects of each size each class has in all splits."""
    labels, areas, crowd = (np.concatenate([getattr(listing.packed, name) for listing in listings])
                            for name in ("labels", "area", "crowd"))  # fmt: skip
    counts = {
        size: np.bincount(labels[(areas >= low) & (areas < high) & ~crowd], minlength=len(classes)).tolist()
        for size, (low, high) in SIZES.items()
    }
    return {name: {size: of_size[index] for size, of_size in counts.items()} for index, name in enumerate(classes)}


def _counts(data: ImageData) -> tuple[str, Mapping[str, np.ndarray]]:
    """What is counted, and of each split how much there is of each class `[K]`."""
    masked = {split: listing for split, listing in data.listings.items() if hasattr(listing, "mask")}
    if masked:
        return "pixels", {split: _pixels(listing, len(data.classes)) for split, listing in masked.items()}
    what = "objects" if any(isinstance(listing, BoxListing) for listing in data.listings.values()) else "images"
    return what, {split: listing.class_counts(len(data.classes)) for split, listing in data.listings.items()}


def _pixels(listing: Any, classes: int) -> np.ndarray:
    total = np.zeros(256, np.int64)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mask in pool.map(listing.mask, range(len(listing))):
            total += np.bincount(mask.ravel(), minlength=256)
    return total[:classes]


def _images(listing: Listing, split: str, channels: int, decoded: int) -> dict[str, Any]:
    sizes: list[tuple[int, int]] = []
    totals, squares, pixels = np.zeros(channels), np.zeros(channels), 0
    for image in _decoded(listing, channels, decoded):
        sizes.append((image.shape[0], image.shape[1]))
        flat = image.reshape(-1, channels) / (255.0 if image.dtype == np.uint8 else 65535.0)
        totals, squares, pixels = totals + flat.sum(0), squares + (flat**2).sum(0), pixels + len(flat)
    if not pixels:
        return {}
    mean = totals / pixels
    deviation = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    heights, widths = np.array(sizes).T
    return {
        "sizes": {"width": _spread(widths), "height": _spread(heights)},
        "channels": {"mean": mean.round(4).tolist(), "std": deviation.round(4).tolist()},
        "decoded": f"{len(sizes):,} of {len(listing):,} {split} images",
    }


def _decoded(listing: Listing, channels: int, most: int) -> Iterator[np.ndarray]:
    """At most so many of the images, evenly over the listing, those that cannot be decoded skipped."""

    def load(index: int) -> np.ndarray | None:
        try:
            return decode(listing[index].path, channels)
        except DataError:
            return None

    indices = range(0, len(listing), max(1, -(-len(listing) // most)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from (image for image in pool.map(load, indices) if image is not None)


def _spread(values: np.ndarray) -> list[int]:
    return [int(values.min()), int(np.median(values)), int(values.max())]
