"""Boxes of several networks as one set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from resnet_tl.models.box_fusion import IOU, clusters, fuse
from resnet_tl.structures.records import Detections


def detections(*images: list[tuple[list[float], float, int]], masks: Tensor | None = None) -> Detections:
    """Of one network: a list of (box, score, label) for each image, padded."""
    count = max(1, *map(len, images))
    rows = [[*image, *[([0.0] * 4, 0.0, -1)] * (count - len(image))] for image in images]
    boxes, scores, labels = zip(*(zip(*image, strict=True) for image in rows), strict=True)
    return Detections(torch.tensor(boxes, dtype=torch.float32), torch.tensor(scores), torch.tensor(labels), masks)


def test_a_network_with_itself_is_that_network() -> None:
    alone = detections([([10, 10, 30, 30], 0.9, 1), ([50, 50, 90, 80], 0.4, 0)], [([0, 0, 9, 9], 0.3, 2)])
    for value, expected in zip(fuse([alone] * 3), alone, strict=True):
        if expected is not None:
            torch.testing.assert_close(value, expected)


def test_corners_are_means_weighted_by_scores_and_scores_means_over_networks() -> None:
    one = detections([([10, 10, 30, 30], 0.9, 0), ([60, 60, 80, 80], 0.5, 0)])
    two = detections([([12, 10, 32, 30], 0.3, 0)])
    fused = fuse([one, two])
    torch.testing.assert_close(fused.boxes[0], torch.tensor([[10.5, 10, 30.5, 30], [60, 60, 80, 80]]))
    torch.testing.assert_close(fused.scores[0], torch.tensor([0.6, 0.25]))
    assert fused.labels[0].tolist() == [0, 0]


def test_boxes_at_the_border_stay_inside_whatever_the_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    for scores in torch.rand(500, 3, generator=generator).tolist():
        fused = fuse([detections([([0.0, 0.0, 160.0, 128.0], score, 0)]) for score in scores])
        assert fused.boxes[0, 0, 2] <= 160
        assert fused.boxes[0, 0, 3] <= 128


def test_classes_are_apart_and_so_are_images() -> None:
    one = detections([([10, 10, 30, 30], 0.8, 0)], [])
    two = detections([([10, 10, 30, 30], 0.6, 1)], [([10, 10, 30, 30], 0.6, 0)])
    fused = fuse([one, two])
    assert fused.labels.tolist() == [[0], [0]]  # as many as a single network returns
    torch.testing.assert_close(fused.scores, torch.tensor([[0.4], [0.3]]))


def test_nothing_fused_with_nothing_is_nothing() -> None:
    empty = Detections(torch.zeros(2, 0, 4), torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.int64))
    assert fuse([empty, empty]).boxes.shape == (2, 0, 4)


def test_more_boxes_of_one_network_than_networks_are_averaged_over_themselves() -> None:
    one = detections([([0, 0, 20, 20], 0.9, 0), ([1, 0, 21, 20], 0.6, 0), ([0, 1, 20, 21], 0.3, 0)])
    assert fuse([one, detections([])]).scores[0].tolist() == pytest.approx([0.6])


def test_clusters_are_those_of_the_paper() -> None:
    """Against its algorithm written as it is described there: lists, one box after another."""
    draw = np.random.default_rng(0)
    for _ in range(20):
        corners = draw.integers(0, 4, (60, 2)) * 15 + draw.normal(0, 3, (60, 2))
        boxes = np.concatenate([corners, corners + draw.uniform(18, 24, (60, 2))], 1)
        scores, labels = draw.random(60), draw.integers(0, 2, 60)
        found: list[list[int]] = []
        for index in np.argsort(-scores, kind="stable").tolist():
            best, chosen = IOU, -1
            for number, members in enumerate(found):
                mean = np.average(boxes[members], 0, scores[members])
                low, high = np.maximum(mean[:2], boxes[index][:2]), np.minimum(mean[2:], boxes[index][2:])
                shared = np.prod(np.clip(high - low, 0, None))
                union = np.prod(mean[2:] - mean[:2]) + np.prod(boxes[index][2:] - boxes[index][:2]) - shared
                if labels[members[0]] == labels[index] and shared / union > best:
                    best, chosen = shared / union, number
            found.append([index]) if chosen < 0 else found[chosen].append(index)
        expected = np.zeros(60, int)
        for number, members in enumerate(found):
            expected[members] = number
        np.testing.assert_array_equal(clusters(boxes, scores, labels), expected)


def disc(box: list[float], side: int = 28) -> Tensor:
    """The mask of a disc of radius 10 around (20, 20), over a box."""
    at = (torch.arange(side) + 0.5) / side
    x, y = box[0] + at * (box[2] - box[0]), box[1] + at * (box[3] - box[1])
    return ((x[None] - 20) ** 2 + (y[:, None] - 20) ** 2 < 100).float()


def test_masks_stay_where_they_are_in_the_image() -> None:
    """Two networks see the same disc, in boxes that differ: so does the fused one."""
    boxes: list[list[float]] = [[9, 9, 33, 31], [10, 6, 30, 32]]
    members = [detections([(box, 0.5, 0)], masks=disc(box)[None, None]) for box in boxes]
    fused = fuse(members)
    assert fused.masks is not None
    expected = disc(fused.boxes[0, 0].tolist())
    agree = ((fused.masks[0, 0] > 0.5) == (expected > 0)).float().mean()
    unmoved = ((disc(boxes[0]) + disc(boxes[1]) > 1) == (expected > 0)).float().mean()
    assert agree > 0.97 > unmoved


def test_a_part_that_few_networks_see_is_not_in_the_mask() -> None:
    box: list[float] = [0, 0, 28, 28]
    whole, half = torch.ones(1, 1, 28, 28), torch.ones(1, 1, 28, 28)
    half[..., 14:] = 0
    members = [detections([(box, 0.5, 0)], masks=mask) for mask in (half, half, whole)]
    masks = fuse(members).masks
    assert masks is not None
    torch.testing.assert_close(masks[0, 0], (2 * half + whole)[0, 0] / 3)
