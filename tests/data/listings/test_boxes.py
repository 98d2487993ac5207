"""Listings of objects: flat, small, and the same objects whatever is selected or joined."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.detection import DetectionData
from resnet_tl.data.listings.boxes import BoxListing, BoxSet
from resnet_tl.data.listings.objects import PackedObjects
from resnet_tl.data.listings.rows import Rows
from resnet_tl.data.sources.annotations import BoxListingBuilder
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import Mask, to_pixels, to_run_lengths


def listing_of(labels: list[list[int]], *, with_masks: bool) -> BoxListing:
    """Images of 20 x 30 with objects of these classes, polygons and run lengths by turns."""
    entries = [Entry(f"in/{i}.jpg", (20, 30), f"{i}") for i in range(len(labels))]
    builder = BoxListingBuilder(entries, [str(i) for i in range(9)], 3, Findings("nowhere"))
    for image, those in reversed(list(enumerate(labels))):
        for number, label in enumerate(those):
            x, y = number % 10, image % 9
            mask: Mask = [np.array([(x, y), (x + 9, y), (x + 9, y + 5 + label)], np.float32)]
            if number % 2:
                mask = to_run_lengths(to_pixels(mask, 20, 30))
            box = [x, y, x + 9, y + 5 + label]
            builder.add(image, label, box, "", crowd=label == 8, area=label, mask=mask if with_masks else None)
    return builder.build(with_masks)


def plain(listing: BoxListing) -> list[tuple[object, ...]]:
    """Everything in it."""
    images = []
    for i, sample in enumerate(listing):
        boxes, labels, crowd, area, masks = listing.objects(i)
        pixels = None if masks is None else [to_pixels(mask, 20, 30).tobytes() for mask in masks]
        parts = [values.tolist() for values in (boxes, labels, crowd, area)]
        images.append((sample, listing.size(i), *parts, pixels))
    return images


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 8), max_size=5), min_size=1, max_size=8), st.booleans(), st.data())
def test_gives_back_what_was_put_in_and_selects(labels: list[list[int]], with_masks: bool, data: st.DataObject) -> None:
    listing = listing_of(labels, with_masks=with_masks)
    everything = plain(listing)
    for i, those in enumerate(labels):
        objects = listing.objects(i)
        assert objects.labels.tolist() == objects.area.tolist() == those
        assert objects.crowd.tolist() == [label == 8 for label in those]
        assert listing[i].target == tuple(sorted(set(those)))
        assert (objects.masks is None) != with_masks
    chosen = np.array(data.draw(st.lists(st.sampled_from(range(len(labels))), max_size=9)), np.int64)
    assert plain(listing.select(chosen)) == [everything[i] for i in chosen]
    assert plain(listing.select(chosen).join(listing)) == [everything[i] for i in chosen] + everything
    assert plain(pickle.loads(pickle.dumps(listing))) == everything
    counted = [sum(those.count(label) for those in labels) for label in range(9)]
    assert listing.class_counts(9).tolist() == [*counted[:8], 0]


def test_labels_are_replaced() -> None:
    listing = listing_of([[2, 0, 2], []], with_masks=False)
    moved = listing.relabelled(np.array([5, -1, 1], np.int32))
    assert moved.objects(0).labels.tolist() == [1, 5, 1]
    assert [sample.target for sample in moved] == [(1, 5), ()]
    assert listing.objects(0).labels.tolist() == [2, 0, 2]


def test_many_samples_are_small_in_memory_and_as_a_pickle() -> None:
    listing = listing_of([[i % 9, 3, 3] for i in range(2000)], with_masks=False)
    numbers = 2000 * 3 * (16 + 4 + 1 + 4)
    assert listing.nbytes - numbers <= 100 * 2000
    assert len(pickle.dumps(listing)) <= listing.nbytes + 3000


def test_a_listing_holds_no_python_objects_that_workers_would_touch() -> None:
    listing = listing_of([[1, 2], []], with_masks=True)
    arrays = [listing.sizes, *vars(listing.packed).values(), *vars(listing.packed.masks).values()]
    flat = [part for value in arrays for part in (vars(value).values() if isinstance(value, Rows) else [value])]
    assert all(value.dtype != object for value in flat if isinstance(value, np.ndarray))


def test_past_the_end_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        listing_of([[1]], with_masks=False)[1]


@pytest.mark.parametrize("box", [[5, 1, 5, 4], [6, 1, 5, 4], [1, 4, 5, 2], [1, float("nan"), 5, 4]])
def test_a_box_without_area_is_named_before_training(box: list[float]) -> None:
    packed = PackedObjects(
        np.array([0, 1, 1, 3]),
        np.array([[0, 0, 4, 4], box, [1, 1, 2, 2]], np.float32),
        np.zeros(3, np.int32),
        np.zeros(3, bool),
        np.ones(3, np.float32),
        None,
    )
    keys = Rows.of_text(["a.jpg", "b.jpg", "c.jpg"])
    listing = BoxListing("photos", keys, np.full((3, 2), 8, np.int32), packed)
    with pytest.raises(DataError, match=r"photos: c\.jpg has the box \[.*\], which has no area \(such boxes: 1\)"):
        DetectionData(BoxSet("photos", ["cat"], {"train": listing, "val": listing}))
