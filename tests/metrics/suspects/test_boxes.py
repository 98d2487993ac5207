"""Boxes that are removed, moved, renamed or invented are found, each as what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from resnet_tl.metrics.suspects.boxes import box_suspects
from resnet_tl.metrics.suspects.suspect import NOTHING, Suspect
from resnet_tl.structures.evaluation import BoxEvaluation
from tests.metrics.box_sets import box_set

IMAGES, A_ROW = 30, 4
REMOVED, MOVED, RENAMED, INVENTED = [3, 50, 200], [20, 120], [70, 300], [90, 400]
"""Objects by their place in the set."""


@pytest.fixture
def good() -> BoxEvaluation:
    """Sixteen objects an image in a grid, each found within two pixels with a score of 0.6 to 0.9; weak noise."""
    draw = np.random.default_rng(0)
    corners = np.array([(60 + 120 * x, 60 + 120 * y) for x in range(A_ROW) for y in range(A_ROW)], np.float64)
    boxes = np.tile(np.concatenate([corners, corners + 50], 1), (IMAGES, 1))
    count = len(boxes)
    labels, images = draw.integers(3, size=count), np.repeat(np.arange(IMAGES), A_ROW**2)
    noise = np.tile(np.array([[0.0, 0, 30, 30], [500, 520, 530, 560]]), (IMAGES, 1))
    found = np.concatenate([boxes + draw.normal(0, 1, boxes.shape), noise])
    image = np.concatenate([images, np.repeat(np.arange(IMAGES), 2)])
    scores = np.concatenate([draw.uniform(0.6, 0.9, count), draw.uniform(0.05, 0.2, 2 * IMAGES)])
    scores[[*REMOVED, *INVENTED]] = 0.85
    guesses = np.concatenate([labels, draw.integers(3, size=2 * IMAGES)])
    order = np.lexsort([-scores, image])
    return replace(
        box_set(IMAGES, 3),
        target_image=images,
        target_labels=labels,
        target_crowd=np.zeros(count, np.bool_),
        target_area=np.full(count, 2500.0),
        target_boxes=boxes,
        target_mask_bytes=np.zeros(count, np.int64),
        image=image[order],
        labels=guesses[order],
        scores=scores[order],
        boxes=found[order],
        mask_bytes=np.zeros(len(order), np.int64),
    )


def keep(e: BoxEvaluation, chosen: np.ndarray) -> BoxEvaluation:
    names = ("image", "labels", "crowd", "area", "boxes", "mask_bytes")
    return replace(e, **{f"target_{name}": getattr(e, f"target_{name}")[chosen] for name in names})


def near(found: Sequence[Suspect], e: BoxEvaluation, index: int) -> Suspect:
    """The suspect that is about an object of the good set."""
    key, box = str(e.keys[e.target_image[index]]), e.target_boxes[index]
    (suspect,) = [each for each in found if each.key == key and np.allclose(each.box or 0, box, atol=20)]
    return suspect


def test_a_good_set_has_no_suspects(good: BoxEvaluation) -> None:
    assert box_suspects(good) == []


def test_each_planted_fault_is_found_as_what_it_is(good: BoxEvaluation) -> None:
    boxes, labels = good.target_boxes.copy(), good.target_labels.copy()
    boxes[MOVED, 0::2] += 18
    boxes[MOVED, 1::2] += 18
    labels[RENAMED] = (labels[RENAMED] + 1) % 3
    boxes[INVENTED] += 60  # between the rows
    everything = replace(good, target_boxes=boxes, target_labels=labels)
    # what was invented has left its own place, where an object is missed now
    found = box_suspects(keep(everything, ~np.isin(np.arange(len(boxes)), REMOVED)))
    names = good.classes
    for index in [*REMOVED, *INVENTED]:
        suspect = near(found, good, index)
        assert (suspect.kind, suspect.given) == ("missed", NOTHING)
        assert suspect.suggested == names[good.target_labels[index]]
    for index in MOVED:
        suspect = near(found, everything, index)
        assert (suspect.kind, suspect.given, suspect.suggested) == ("badly placed", *[names[labels[index]]] * 2)
        assert np.allclose(suspect.suggested_box or 0, good.target_boxes[index], atol=5)
    for index in RENAMED:
        suspect = near(found, good, index)
        assert (suspect.kind, suspect.given) == ("class", names[labels[index]])
        assert suspect.suggested == names[good.target_labels[index]]
    for index in INVENTED:
        suspect = near(found, everything, index)
        assert (suspect.kind, suspect.given, suspect.suggested) == ("spurious", names[labels[index]], NOTHING)
    assert len(found) == len(REMOVED) + len(MOVED) + len(RENAMED) + 2 * len(INVENTED)


def test_crowds_and_what_lies_in_them_are_no_suspects(good: BoxEvaluation) -> None:
    crowd = good.target_crowd.copy()
    crowd[5] = True
    boxes = good.target_boxes.copy()
    boxes[5] = [40, 40, 600, 600]
    in_image = good.target_image == good.target_image[5]
    chosen = ~in_image | (np.arange(len(crowd)) == 5)
    found = box_suspects(keep(replace(good, target_crowd=crowd, target_boxes=boxes), chosen))
    assert [each for each in found if each.key == str(good.keys[good.target_image[5]])] == []


def test_images_without_objects_and_without_detections(good: BoxEvaluation) -> None:
    lonely = keep(good, good.target_image != 2)  # its sixteen detections are all that is known of image 2
    found = [each for each in box_suspects(lonely) if each.key == str(good.keys[2])]
    assert {each.kind for each in found} == {"missed"}
    none = {name: getattr(good, name)[:0] for name in ("image", "labels", "scores", "boxes", "mask_bytes")}
    assert {each.kind for each in box_suspects(replace(good, **none))} <= {"spurious"}
    assert box_suspects(keep(replace(good, **none), np.zeros(len(good.target_image), np.bool_))) == []
