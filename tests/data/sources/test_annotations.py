"""Objects checked, clipped and packed."""

from __future__ import annotations

from typing import Any

import pytest

from resnet_tl.data.sources.annotations import (
    BoxListingBuilder,
    annotated_size,
    box_set,
    find_elsewhere,
    in_fractions,
    in_order_of,
    split_in,
)
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.image_finder import ImageFinder
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.data.sources.tree import Tree
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
    with pytest.raises(DataError, match=r"photos has classes \('dog'"):
        in_order_of("photos", ["cat", "dog"], [3, 9], ["cat", "emu"])


def test_a_checkpoints_class_that_the_set_lacks_gets_a_code_of_its_own() -> None:
    known = ["gnu", "dog", "cat", "emu"]
    assert in_order_of("photos", ["cat", "dog"], [3, 9], known) == (known, [10, 9, 3, 11])


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (20, 30, (20, 30)),
        ("20", "30.0", (20, 30)),
        (None, 30, None),
        ("", "", None),
        (0, 0, None),
        (-1, -1, None),
        (20, -1, None),
    ],
)
def test_sizes_that_are_absent_zero_or_minus_one_are_unknown(
    height: Any, width: Any, size: tuple[int, int] | None
) -> None:
    assert annotated_size(height, width) == size


@pytest.mark.parametrize(("height", "width"), [("wide", 3), ([1], 3), (float("nan"), 3), (10**400, 3), (2**20, 2**20)])
def test_sizes_that_no_image_has_are_errors(height: Any, width: Any) -> None:
    with pytest.raises(ValueError, match=r"^has the size 3 x|^has the size 1048576 x 1048576; expected at most"):
        annotated_size(height, width)


def test_a_folder_is_named_after_a_split() -> None:
    assert split_in("photos/Valid/a.jpg") == "val"
    assert split_in("train.jpg", otherwise="test") == "test"
    finder = ImageFinder(Tree("set", ["val/a.jpg", "b.jpg"], {"val"}))
    assert find_elsewhere(finder, "/home/me/a.jpg", "", "val") == "val/a.jpg"
    assert find_elsewhere(finder, "/home/me/a.jpg", "", "train") is None
    assert find_elsewhere(finder, "/home/me/b.jpg", "", "train") == "b.jpg"


def test_classes_without_objects_are_excluded_from_labels_and_codes() -> None:
    findings = Findings("nowhere")
    builder = BoxListingBuilder([Entry("a.jpg", (20, 30), "a.jpg")], ["cat", "dog", "emu"], 3, findings)
    builder.add(0, 2, [0, 0, 5, 5], "line 1")
    builder.add(0, 1, [0, 0, 0, 5], "line 2")
    found = box_set(findings, {"train": builder}, ["cat", "dog", "emu"], ["c", "d", "e"])
    assert (found.classes, found.codes) == (["emu"], ["e"])
    assert found.splits["train"].objects(0).labels.tolist() == [0]
    assert found.notes[-1].endswith("(data.keep_empty_classes: true keeps them) (2): cat, dog")


def test_a_class_name_of_half_a_character_is_a_fault() -> None:
    findings = Findings("nowhere")
    builder = builder_of(findings, "a.jpg")
    builder.add(0, 1, [0, 0, 5, 5], "line 1")
    faults = box_set(findings, {"train": builder}, ["cat", "\ud83d"], [0, 1], keep_empty=True).faults
    assert list(faults) == ["nowhere: the class name '\\ud83d' is not valid text"]


NAN = float("nan")


@pytest.mark.parametrize(
    ("numbers", "fractions"),
    [
        ([0, 0, 1, 1, 0.1, 0.1, 1.02, 0.6], True),
        ([0, 0, 1, 1, 30, 20], False),
        ([NAN, 0, 1, 1], True),
        ([], False),
    ],
)
def test_boxes_in_fractions_differ_from_pixels_by_all_of_them(numbers: list[float], fractions: bool) -> None:
    findings = Findings("set")
    assert in_fractions(iter(numbers), findings) == fractions
    assert len(findings.notes) == fractions
