"""Masks of any kind, polygons and run lengths become smaller with their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.class_masks import read_pixels
from resnet_tl.data.images.resize import resize
from resnet_tl.data.listings.boxes import BoxListing, BoxSet
from resnet_tl.data.listings.listing import rows_of_paths
from resnet_tl.data.listings.objects import PackedMasks, PackedObjects
from resnet_tl.data.listings.rows import Rows
from resnet_tl.data.packing.resized import Shrink
from resnet_tl.structures.masks import to_pixels, to_run_lengths

SHRINK = Shrink(20, 3, "bilinear")
VALUES = np.random.default_rng(0).integers(0, 5, (60, 44))


def drawn(kind: str) -> Image.Image:
    if kind == "16 bits":
        return Image.fromarray((VALUES * 300).astype(np.uint16))
    if kind == "colours":
        return Image.fromarray(np.stack([VALUES * 9, VALUES * 3, 200 - VALUES], -1).astype(np.uint8))
    image = Image.fromarray(VALUES.astype(np.uint8))
    if kind == "palette":
        image.putpalette([7, 9, 11, 20, 30, 40, 90, 80, 70, 1, 2, 3, 255, 0, 255])
    return image


@pytest.mark.parametrize("kind", ["grey", "16 bits", "palette", "colours"])
def test_a_mask_keeps_its_kind_and_the_values_of_nearest_pixels(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    drawn(kind).save(path)
    before = read_pixels(str(path))
    (tmp_path / "small.png").write_bytes(SHRINK.mask(path.read_bytes(), str(path)))
    after = read_pixels(str(tmp_path / "small.png"))
    assert after.kind == before.kind
    assert np.array_equal(after.values, resize(before.values[..., None], 27, 20, "nearest")[..., 0])
    if before.palette is not None:
        assert np.array_equal(after.palette[:5], before.palette[:5])
    whole = Shrink(44, 3, "bilinear")
    assert whole.mask(path.read_bytes(), str(path)) == path.read_bytes()


def test_polygons_and_run_lengths() -> None:
    square = np.array([8, 10, 24, 10, 24, 30, 8, 30], np.float32)
    pixels = np.zeros((60, 40), bool)
    pixels[20:50, 4:30] = True
    counts = to_run_lengths(pixels).counts
    masks = PackedMasks(
        Rows(np.tile(square, 2), np.array([0, 8, 16])), np.array([0, 1, 1, 2]), Rows.of([[], counts.tolist(), []])
    )
    packed = PackedObjects(
        np.array([0, 2, 3]),
        np.array([[8, 10, 24, 30], [4, 20, 30, 50], [8, 10, 24, 30]], np.float32),
        np.zeros(3, np.int32), np.zeros(3, bool), np.array([320, 780, 320], np.float32), masks,
    )  # fmt: skip
    listing = BoxListing("", rows_of_paths("", ["a", "b"]), np.array([[60, 40], [16, 18]], np.int32), packed)
    smaller = SHRINK.images(BoxSet("", ["x"], {"train": listing})).splits["train"]
    assert smaller.sizes.tolist() == [[30, 20], [16, 18]]
    first, second = smaller.objects(0), smaller.objects(1)
    assert first.boxes.tolist() == [[4, 5, 12, 15], [2, 10, 15, 25]]
    assert first.area.tolist() == [80, 195]
    assert first.masks is not None
    assert np.array_equal(first.masks[0][0], square.reshape(-1, 2) / 2)
    assert np.array_equal(to_pixels(first.masks[1], 30, 20), pixels[1::2, 1::2])
    assert np.array_equal(second.masks[0][0], square.reshape(-1, 2))
    assert second.boxes.tolist() == [[8, 10, 24, 30]]
