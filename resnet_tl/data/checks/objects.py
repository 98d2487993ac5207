"""Boxes that are there twice, cover the whole image, or are too small to be seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import torch

from resnet_tl.data.checks.images import is_rare
from resnet_tl.data.listings.boxes import BoxListing
from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.listings.listing import Listing
from resnet_tl.structures.boxes import pairwise_iou

SAME = 0.95
"""IoU of two boxes of a class that are taken for one object."""
GIANT = 0.999
"""Share of its image that a box covers, to be named, unless a twentieth of all boxes do."""
TINY = 2.0
"""Pixels of a side below which a box holds nothing that can be seen."""


def object_findings(
    listings: Mapping[str, Listing], classes: Sequence[str], unreadable: Collection[str]
) -> Iterator[Finding]:
    """unreadable: the keys of images whose size is not known."""
    giants: list[Finding] = []
    total = 0
    for split, listing in listings.items():
        if not isinstance(listing, BoxListing):
            return
        for index in [index for index in range(len(listing)) if listing.key(index) not in unreadable]:
            boxes, labels, crowd, *_ = listing.objects(index)
            path, (height, width) = listing[index].path, listing.size(index)
            total += len(boxes)
            sides = boxes[:, 2:] - boxes[:, :2]
            names = [_named(box, classes[label]) for box, label in zip(boxes, labels, strict=True)]
            for i in np.flatnonzero((sides < TINY).any(1) & ~crowd):
                yield Finding("tiny box", split, path, f"{names[i]} is less than {TINY:g} pixels wide or high")
            for i in np.flatnonzero(sides.prod(1) > GIANT * height * width):
                giants.append(Finding("giant box", split, path, f"{names[i]} covers the whole image"))
            yield from _twins(boxes, labels, crowd, split, path, classes)
    if is_rare(len(giants), total):
        yield from giants


def _twins(
    boxes: np.ndarray, labels: np.ndarray, crowd: np.ndarray, split: str, path: str, classes: Sequence[str]
) -> Iterator[Finding]:
    """Two boxes on one another; of another class too, if they are the same to the pixel."""
    if len(boxes) < 2:
        return
    corners = torch.from_numpy(boxes)
    overlap = np.triu(pairwise_iou(corners, corners).numpy(), 1)
    for one, other in zip(*np.nonzero(overlap > SAME), strict=True):
        if crowd[one] or crowd[other]:
            continue
        text = f"{_named(boxes[other], classes[labels[other]])} lies on another"
        if labels[one] == labels[other]:
            yield Finding("duplicate box", split, path, f"{text} of its class")
        elif (boxes[one] == boxes[other]).all():
            yield Finding("box of two classes", split, path, f"{text}, a {classes[labels[one]]!r}")


def _named(box: np.ndarray, name: str) -> str:
    return f"box {name!r} at [{', '.join(f'{side:.6g}' for side in box.tolist())}]"
