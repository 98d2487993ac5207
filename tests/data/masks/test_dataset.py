"""Images with masks as batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.data.images import dataset as module
from resnet_tl.data.images.class_masks import ClassMask
from resnet_tl.data.images.dataset import Item
from resnet_tl.data.masks.dataset import MaskDataset, collate_masks
from resnet_tl.data.masks.transforms import ResizeWhole
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE, Draw, Sample


class Listed:
    """One image whose mask has classes 0 and 1 in its left and right half."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return Sample("a.png", "a mask", "a.png")

    def mask(self, index: int) -> ClassMask:
        return np.repeat(np.array([[0, 1]], np.uint8), 4, axis=1).repeat(6, axis=0)


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=5))
def test_images_and_masks_are_padded_to_the_largest(sizes: list[tuple[int, int]]) -> None:
    items = [
        Item(np.full((1, *size, 3), 9, np.uint8), np.full(size, 2, np.uint8), size, row, size)
        for row, size in enumerate(sizes)
    ]
    batch = collate_masks(items)
    largest = tuple(max(size[axis] for size in sizes) for axis in (0, 1))
    assert (tuple(batch.images.shape[2:]), tuple(batch.targets.shape[1:])) == (largest, largest)
    for image, mask, (height, width) in zip(batch.images, batch.targets, sizes, strict=True):
        assert (image[:, :height, :width] == 9).all()
        assert (mask[:height, :width] == 2).all()
        assert image.sum() == 9 * 3 * height * width
        assert int((mask == IGNORE).sum()) == mask.numel() - height * width


def test_image_and_mask_are_resized_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "decode", lambda path, channels: np.zeros((6, 8, channels), np.uint8))
    item = MaskDataset(Listed(), ResizeWhole(3))[Draw(0, 0)]
    assert (item.views.shape, item.size, item.original_size) == ((1, 3, 4, 3), (3, 4), (6, 8))
    assert item.target.tolist() == [[0, 0, 1, 1]] * 3


def test_a_filler_is_ignored_everywhere() -> None:
    item = MaskDataset(Listed(), ResizeWhole(0))[Draw(0, -1)]
    assert item.row == -1
    assert (item.target == IGNORE).all()


def test_a_mask_of_another_size_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "decode", lambda path, channels: np.zeros((6, 9, channels), np.uint8))
    with pytest.raises(DataError, match=r"a\.png: is \(6, 9\) \(h, w\), but its mask \(6, 8\)"):
        MaskDataset(Listed(), ResizeWhole(0))[Draw(0, 0)]
