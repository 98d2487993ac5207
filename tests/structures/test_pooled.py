"""Records of several networks as one."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from resnet_tl.errors import DataError
from resnet_tl.metrics.paired import select
from resnet_tl.structures.evaluation import Evaluation
from resnet_tl.structures.pooled import pool
from tests.metrics.box_sets import box_set
from tests.metrics.test_paired import classes, pixels

KINDS: dict[str, Evaluation] = {
    "classes": classes(40),
    "labels": classes(40, multi_label=True),
    "boxes": box_set(images=40),
    "pixels": pixels(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_a_record_are_the_record(kind: str) -> None:
    whole = KINDS[kind]
    cuts = np.split(np.arange(len(whole)), [7, 7 + 20])
    joined = pool([select(whole, images) for images in cuts])
    for field in fields(whole):
        if field.name != "edges":  # sums over the images of a network
            np.testing.assert_array_equal(getattr(joined, field.name), getattr(whole, field.name), field.name)


def test_boundary_pixels_are_added_thresholds_averaged_and_steps_the_most() -> None:
    one, two = (replace(pixels(), edges=np.full((3, 4), count)) for count in (2, 3))
    two = replace(two, step=7, keys=np.char.add("second/", two.keys))
    joined = pool([one, two])
    assert (joined.edges == 5).all()
    assert (joined.step, len(joined)) == (7, 2 * len(one))
    labels = classes(9, multi_label=True)
    other = replace(labels, thresholds=np.full(4, 0.7, np.float32), keys=np.char.add("second/", labels.keys))
    assert pool([labels, other]).thresholds.tolist() == pytest.approx([0.6] * 4)


def test_an_image_that_two_have_predicted_is_named() -> None:
    with pytest.raises(DataError, match=r"^nowhere: 0000 was predicted more than once: images were added or removed"):
        pool([classes(3), classes(2)])
