"""Parts of a batch whose images have one size."""

from __future__ import annotations

from typing import Any

import torch

from resnet_tl.structures.padding import by_size, padded
from resnet_tl.structures.records import Batch, Boxes, Features

SIZES = [(33, 64), (64, 64), (33, 64), (30, 20)]


def batch(sizes: list[tuple[int, int]], side: int = 64) -> Batch:
    """Image n has the value n + 1 inside, and one object of class n."""
    images = torch.zeros(len(sizes), 3, side, side, dtype=torch.uint8)
    for number, (height, width) in enumerate(sizes):
        images[number, :, :height, :width] = number + 1
    numbers = torch.arange(len(sizes))
    boxes = Boxes(torch.ones(len(sizes), 4), numbers, numbers, numbers < 0, torch.ones(len(sizes)))
    return Batch(images, boxes, torch.tensor(sizes), 2 * torch.tensor(sizes), numbers)


def test_sides_are_padded_to_multiples_of_32() -> None:
    assert [padded(side) for side in (1, 32, 33)] == [32, 32, 64]


def test_a_batch_of_several_sizes_is_split_and_cropped() -> None:
    whole = batch(SIZES)
    parts = list(by_size(whole))
    assert sorted(torch.cat([positions for positions, _ in parts]).tolist()) == [0, 1, 2, 3]
    for positions, part in parts:
        chosen = positions.tolist()
        assert part.sizes.unique(dim=0).tolist() == [list(part.images.shape[-2:])]
        assert part.indices.tolist() == part.targets.labels.tolist() == chosen
        assert part.targets.image.tolist() == list(range(len(part)))
        assert part.original_sizes.tolist() == [[2 * side for side in SIZES[number]] for number in chosen]
        for number, image in zip(chosen, part.images, strict=True):
            assert image.sum() == whole.images[number].sum()  # nothing but padding is cropped


def test_what_cannot_or_need_not_be_split_is_not_copied() -> None:
    whole = batch([(64, 64), (64, 64)])
    features: Any = Features({"c1": torch.zeros(2, 1, 2, 2)}, (96, 96), "layer1")
    for one in (whole, Batch(features, whole.targets, whole.sizes, whole.original_sizes, whole.indices)):
        ((positions, part),) = by_size(one)
        assert part is one
        assert positions.tolist() == [0, 1]
