"""Objects checked, clipped and packed."""

from __future__ import annotations

import pytest

from resnet_tl.data.sources.annotations import BoxListingBuilder, box_set, in_order_of
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.errors import DataError


def builder_of(findings: Findings, *keys: str) -> BoxListingBuilder:
    """Images of 20 x 30 (h, w) that cannot be read, and so keep that size."""
    return BoxListingBuilder([Entry(key, (20, 30), key) for key in keys], ["cat", "dog"], 3, findings)


def test_boxes_are_clipped_and_degenerate_ones_skipped_both_by_name() -> None:
    findings = Findings("nowhere")
    builder = builder_of(findings, "a.jpg", "b.jpg")
    builder.add(1, 0, [-5, 2, 10, 12], "line 1")
    builder.add(0, 1, [-0.5, 0, 30.5, 20], "line 2")
    builder.add(0, 1, [4, 4, 4, 9], "line 3")
    found = box_set(findings, {"train": builder}, ["cat", "dog"], [0, 1])
    listing = found.splits["train"]
    assert listing.objects(0).boxes.tolist() == [[0, 0, 30, 20]]
    assert listing.objects(1).boxes.tolist() == [[0, 2, 10, 12]]
    assert listing.objects(1).area.tolist() == [100]
    assert not listing.has_masks
    assert found.notes == [
        "nowhere: boxes that exceed their images, clipped (1): b.jpg: line 1 (cat)",
        "nowhere: degenerate boxes, skipped (1): a.jpg: line 3 (dog) at [4, 4, 4, 9]",
    ]


def test_boxes_that_are_not_numbers_and_splits_without_boxes_are_faults() -> None:
    findings = Findings("nowhere")
    builder = builder_of(findings, "a.jpg")
    builder.add(0, None, [0, 0, float("nan"), 2], "line 1")
    builder.add(0, 1, [0, 0, float("inf"), 2], "line 2")
    with pytest.raises(DataError) as caught:
        box_set(findings, {"train": builder}, ["cat", "dog"], [0, 1]).usable()
    assert str(caught.value).splitlines()[1:] == [
        "  a.jpg: line 1 has the box [0, 0, nan, 2]; expected four finite numbers",
        "  a.jpg: line 2 (dog) has the box [0, 0, inf, 2]; expected four finite numbers",
        "  nowhere: train has no boxes at all",
    ]


def test_an_image_in_two_splits_is_a_note() -> None:
    findings = Findings("nowhere")
    builders = {split: builder_of(findings, "a.jpg") for split in ("train", "val")}
    for builder in builders.values():
        builder.add(0, 0, [0, 0, 5, 5], "line 1")
    assert box_set(findings, builders, ["cat", "dog"], [0, 1], keep_empty=True).notes == [
        "nowhere: images both in train and in val (1): a.jpg"
    ]


def test_a_checkpoints_classes_give_the_order() -> None:
    assert in_order_of("photos", ["cat", "dog"], [3, 9], None) == (["cat", "dog"], [3, 9])
    assert in_order_of("photos", ["cat", "dog"], [3, 9], ["dog", "cat"]) == (["dog", "cat"], [9, 3])
    with pytest.raises(DataError, match=r"photos has classes that the checkpoint does not know \('dog'"):
        in_order_of("photos", ["cat", "dog"], [3, 9], ["cat", "emu"])


def test_a_checkpoints_class_that_the_set_lacks_gets_a_code_of_its_own() -> None:
    known = ["gnu", "dog", "cat", "emu"]
    assert in_order_of("photos", ["cat", "dog"], [3, 9], known) == (known, [10, 9, 3, 11])
