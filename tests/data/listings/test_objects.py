"""Objects of one image and of many."""

from __future__ import annotations

import numpy as np

from resnet_tl.data.listings.objects import NO_OBJECTS, Objects, PackedMasks, PackedObjects
from resnet_tl.data.listings.rows import Rows, offsets_of
from resnet_tl.structures.masks import RunLengths

TRIANGLE = np.array([(0, 0), (4, 0), (0, 4)], np.float32)


def packed() -> PackedObjects:
    """Three images with 2, 0 and 1 objects: a polygon, run lengths, two polygons."""
    polygons = Rows(np.tile(TRIANGLE.ravel(), 3), offsets_of([6, 6, 6]))
    runs = Rows(np.array([10, 5, 5], np.int32), offsets_of([0, 3, 0]))
    masks = PackedMasks(polygons, offsets_of([1, 0, 2]), runs)
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    labels, crowd = np.array([1, 2, 1], np.int32), np.array([False, True, False])
    return PackedObjects(offsets_of([2, 0, 1]), boxes, labels, crowd, np.array([8, 9, 10], np.float32), masks)


def test_unpacked_objects_are_those_of_their_image() -> None:
    objects = packed().unpack(0, (4, 5))
    assert (objects.labels.tolist(), objects.crowd.tolist(), objects.area.tolist()) == ([1, 2], [False, True], [8, 9])
    polygon, runs = objects.masks or []
    assert np.array_equal(polygon, [TRIANGLE])
    assert isinstance(runs, RunLengths)
    assert (runs.counts.tolist(), runs.size) == ([10, 5, 5], (4, 5))
    assert len(packed().unpack(1, (4, 5)).labels) == 0
    assert [len(mask) for mask in packed().unpack(2, (4, 5)).masks or []] == [2]


def test_select_and_join_move_objects_with_their_images() -> None:
    selected = packed().select(np.array([2, 0]))
    assert [selected.unpack(i, (4, 5)).labels.tolist() for i in range(2)] == [[1], [1, 2]]
    joined = selected.join(packed())
    assert [len(joined.unpack(i, (4, 5)).labels) for i in range(5)] == [1, 2, 2, 0, 1]
    assert [len(mask) for mask in joined.unpack(4, (4, 5)).masks or []] == [2]
    assert joined.nbytes > packed().nbytes


def test_classes_of_an_image_are_listed_once() -> None:
    classes = packed().join(packed().select(np.array([0]))).classes()
    assert [classes[i].tolist() for i in range(len(classes))] == [[1, 2], [], [1], [1, 2]]


def test_where_and_join_of_one_image() -> None:
    objects = packed().unpack(0, (4, 5))
    assert objects.where(np.array([True, True])) is objects
    crowd = objects.where(objects.crowd)
    assert (crowd.labels.tolist(), len(crowd.masks or [])) == ([2], 1)
    assert NO_OBJECTS.join(objects).labels.tolist() == [1, 2]
    bare = objects._replace(masks=None)
    assert objects.join(bare).masks is None
    assert isinstance(bare.where(bare.crowd), Objects)
