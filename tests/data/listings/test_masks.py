"""Listings of masks: files, and masks painted from objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.class_masks import Coding
from resnet_tl.data.listings.masks import MaskListing, paint
from resnet_tl.data.listings.objects import NO_OBJECTS, Objects
from resnet_tl.structures.records import IGNORE

CODES = np.arange(256, dtype=np.uint8)


@pytest.fixture
def listing(tmp_path: Path) -> MaskListing:
    for i in range(3):
        Image.fromarray(np.full((2, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    pairs = [(f"{i}.jpg", f"{i}.png") for i in range(3)]
    return MaskListing.of_pairs(str(tmp_path), pairs, Coding(CODES, {}), np.ones(3, np.uint8))


def test_masks_stay_with_their_images(listing: MaskListing, tmp_path: Path) -> None:
    assert listing[1] == (f"{tmp_path}/1.jpg", f"{tmp_path}/1.png", "1.jpg")
    selected = listing.select(np.array([2, 0]))
    assert [int(selected.mask(i).max()) for i in range(2)] == [2, 0]
    assert selected.join(listing).keys() == ["2.jpg", "0.jpg", "0.jpg", "1.jpg", "2.jpg"]
    assert int(selected.join(listing).mask(3).max()) == 1
    assert listing.nbytes >= sum(len(sample.key) * 2 for sample in listing)


def test_the_coding_is_part_of_the_cache_key(listing: MaskListing) -> None:
    other = MaskListing.of_pairs(listing.root, [("0.jpg", "0.png")], Coding(CODES[::-1], {}), np.ones(1, np.uint8))
    assert listing.select(np.array([0])).cache_key() == listing.cache_key()
    assert other.cache_key() != listing.cache_key()


def test_a_mask_rotates_with_its_image(listing: MaskListing, tmp_path: Path) -> None:
    Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)).save(tmp_path / "0.png")
    pairs, orientations = [("0.jpg", "0.png")] * 2, np.array([1, 6], np.uint8)
    rotated = MaskListing.of_pairs(str(tmp_path), pairs, Coding(CODES, {}), orientations)
    assert rotated.mask(0).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert rotated.mask(1).tolist() == [[4, 1], [5, 2], [6, 3]]
    assert rotated.select(np.array([1])).mask(0).tolist() == rotated.mask(1).tolist()
    assert rotated.select(np.array([0])).join(rotated).mask(2).tolist() == rotated.mask(1).tolist()
    assert rotated.cache_key() != rotated.select(np.array([0])).cache_key()


def test_small_objects_are_painted_over_large_ones_and_crowds_ignored() -> None:
    def square(x: int, y: int, side: int) -> list[np.ndarray]:
        return [np.array([(x, y), (x + side, y), (x + side, y + side), (x, y + side)], np.float32)]

    numbers = np.zeros((3, 4), np.float32), np.array([1, 2, 3]), np.array([False, False, True]), np.zeros(3, np.float32)
    mask = paint(Objects(*numbers, masks=[square(1, 1, 2), square(0, 0, 4), square(4, 0, 4)]), (4, 8))
    expected = np.full((4, 8), 2)
    expected[1:3, 1:3], expected[:, 4:] = 1, IGNORE
    assert mask.tolist() == expected.tolist()
    assert paint(NO_OBJECTS, (2, 2)).tolist() == [[0, 0], [0, 0]]
