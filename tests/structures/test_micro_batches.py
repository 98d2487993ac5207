"""Splitting batches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from resnet_tl.structures.micro_batches import split
from resnet_tl.structures.records import Batch, Boxes, Features, Unlabelled


def batch(count: int, views: int = 1) -> Batch:
    numbers = torch.arange(count)
    images = torch.arange(count * views)[:, None, None, None].expand(-1, 3, 64, 96).clone()
    return Batch(images, numbers, torch.full((count, 2), 64), torch.full((count, 2), 70), numbers + 10)


@pytest.mark.parametrize(("count", "size", "sizes"), [
    (8, None, [8]), (8, 8, [8]), (8, 9, [8]), (8, 4, [4, 4]), (7, 3, [2, 2, 3]), (5, 4, [2, 3]), (3, 1, [1, 1, 1]),
])  # fmt: skip
def test_pieces_have_nearly_equal_sizes_and_all_images_in_order(count: int, size: int | None, sizes: list[int]) -> None:
    pieces = split(batch(count, views=2), size)
    assert [len(piece) for piece in pieces] == sizes
    assert torch.cat([piece.indices for piece in pieces]).tolist() == list(range(10, 10 + count))
    assert torch.cat([piece.targets for piece in pieces]).tolist() == list(range(count))
    views = torch.cat([piece.images for piece in pieces])[:, 0, 0, 0]  # type: ignore[arg-type]
    assert views.tolist() == list(range(2 * count))


def test_features_are_split_too() -> None:
    maps = {"c4": torch.arange(4.0), "c5": torch.arange(4.0) + 10}
    first, second = split(replace(batch(4), images=Features(maps, (64, 96), "layer4")), 2)
    assert isinstance(first.images, Features)
    assert isinstance(second.images, Features)
    assert first.images.maps["c5"].tolist() == [10, 11]
    assert second.images.maps["c4"].tolist() == [2, 3]
    assert second.images.after == "layer4"


def test_objects_stay_with_their_image_and_padding_is_that_of_the_piece() -> None:
    image = torch.tensor([0, 2, 2, 3])
    boxes = Boxes(torch.rand(4, 4), torch.arange(4), image, image > 2, torch.ones(4), ["a", "b", "c", "d"])  # type: ignore[arg-type, list-item]
    sizes = torch.tensor([[20, 30], [32, 33], [40, 96], [10, 10]])
    first, second = split(replace(batch(4), targets=boxes, sizes=sizes), 2)
    assert first.images.shape[2:] == (32, 64)  # type: ignore[union-attr]
    assert second.images.shape[2:] == (64, 96)  # type: ignore[union-attr]
    assert (first.targets.image.tolist(), first.targets.masks) == ([0], ["a"])
    assert (second.targets.image.tolist(), second.targets.masks) == ([0, 0, 1], ["b", "c", "d"])
    assert second.targets.labels.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("count", "others", "size"), [(4, 4, 2), (4, 2, 1), (5, 3, 2), (3, 7, 2)])
def test_images_without_targets_are_split_with_the_others(count: int, others: int, size: int) -> None:
    images = torch.arange(others)[:, None, None, None].expand(-1, 3, 64, 96)
    pieces = split(replace(batch(count), unlabelled=Unlabelled(images, others / count)), size)
    theirs = [piece.unlabelled for piece in pieces if piece.unlabelled is not None]
    assert len(theirs) == len(pieces)
    assert torch.cat([each.images for each in theirs])[:, 0, 0, 0].tolist() == list(range(others))
    assert {each.share for each in theirs} == {others / count}
