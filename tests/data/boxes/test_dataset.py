"""Images with objects as batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resnet_tl.data.boxes.dataset import BoxDataset, collate_boxes
from resnet_tl.data.boxes.transforms import ResizeWhole
from resnet_tl.data.images.dataset import Item
from resnet_tl.data.listings.boxes import BoxListing
from resnet_tl.data.listings.objects import PackedObjects
from resnet_tl.data.listings.rows import Rows
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Boxes, Draw


def boxes(count: int) -> Boxes:
    corners = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(count, 1)
    zeros = torch.zeros(count, dtype=torch.int64)
    return Boxes(corners, zeros, zeros, zeros.bool(), torch.ones(count), None)


@given(st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(0, 3)), min_size=1, max_size=5))
def test_images_of_any_sizes_share_the_smallest_batch_that_holds_them(items: list[tuple[int, int, int]]) -> None:
    views = [np.full((1, height, width, 3), 9, np.uint8) for height, width, _ in items]
    batch = collate_boxes(
        [Item(view, boxes(item[2]), (1, 1), row) for row, (view, item) in enumerate(zip(views, items, strict=True))]
    )
    sides = [-(-max(item[axis] for item in items) // 32) * 32 for axis in (0, 1)]
    assert list(batch.images.shape) == [len(items), 3, *sides]
    assert batch.sizes.tolist() == [[height, width] for height, width, _ in items]
    for image, (height, width, _) in zip(batch.images, items, strict=True):
        assert (image[:, :height, :width] == 9).all()
        assert image.sum() == 9 * 3 * height * width
    assert batch.targets.image.tolist() == [row for row, item in enumerate(items) for _ in range(item[2])]


@pytest.fixture
def dataset(tmp_path: Path) -> BoxDataset:
    """One image of 40 x 20 pixels with a box of class 5."""
    Image.new("RGB", (40, 20)).save(tmp_path / "a.png")
    corners, one = np.array([[4, 2, 24, 12]], np.float32), np.ones(1, np.float32)
    packed = PackedObjects(np.array([0, 1]), corners, np.array([5], np.int32), np.zeros(1, bool), one * 200, None)
    listing = BoxListing(str(tmp_path), Rows.of_text(["a.png"]), np.array([[20, 40]], np.int32), packed)
    return BoxDataset(listing, ResizeWhole(10, None, "bilinear"))


def test_an_item_is_resized_with_its_objects(dataset: BoxDataset) -> None:
    item = dataset[Draw(0, 0)]
    assert (item.views.shape, item.original_size, item.row) == ((1, 10, 20, 3), (20, 40), 0)
    assert item.target.boxes.tolist() == [[2, 1, 12, 6]]
    assert (item.target.labels.tolist(), item.target.area.tolist()) == ([5], [50])


def test_a_filler_is_black_and_has_no_objects(dataset: BoxDataset) -> None:
    item = dataset[Draw(0, -1)]
    assert (item.row, int(item.views.max()), len(item.target.labels)) == (-1, 0, 0)


def test_an_image_that_has_changed_its_size_is_named(dataset: BoxDataset) -> None:
    Image.new("RGB", (30, 20)).save(dataset.listing[0].path)
    with pytest.raises(DataError, match=r"a\.png: is 30 x 20 pixels, but was 40 x 20 when the annotations were read"):
        dataset[Draw(0, 0)]
