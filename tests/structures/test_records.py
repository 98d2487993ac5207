"""Batches, boxes and features join, split and move as one."""

from __future__ import annotations

import torch

from resnet_tl.structures.masks import Mask
from resnet_tl.structures.records import Batch, Boxes, Features


def boxes_of_image(count: int) -> Boxes:
    zeros = torch.zeros(count, dtype=torch.int64)
    masks: list[Mask] = [[torch.rand(3, 2).numpy()] for _ in range(count)]
    return Boxes(torch.rand(count, 4), torch.arange(count), zeros, zeros == 1, torch.rand(count), masks)


def test_boxes_of_images_join_and_split() -> None:
    each = [boxes_of_image(2), boxes_of_image(0), boxes_of_image(3)]
    joined = Boxes.join(each)
    assert joined.image.tolist() == [0, 0, 2, 2, 2]
    back = joined.split(3)
    assert [len(boxes) for boxes in back] == [2, 0, 3]
    assert all(torch.equal(a.boxes, b.boxes) and a.masks == b.masks for a, b in zip(back, each, strict=True))
    assert len(Boxes.join([boxes_of_image(0)])) == 0
    joined.crowd[3] = True
    assert joined.objects().labels.tolist() == [0, 1, 0, 2]
    assert joined.to("cpu").masks is joined.masks


def test_boxes_keep_masks_only_if_all_images_have_them() -> None:
    with_masks, without = boxes_of_image(2), boxes_of_image(1)
    without.masks = None
    assert Boxes.join([with_masks, without]).masks is None
    assert Boxes.join([with_masks, with_masks]).masks == [*(with_masks.masks or []), *(with_masks.masks or [])]


def test_a_batch_moves_everything_it_holds() -> None:
    features = Features({"c4": torch.rand(2, 3, 4, 4), "c5": torch.rand(2, 6, 2, 2)}, (64, 64), "layer4")
    sizes = torch.tensor([[64, 64]] * 2)
    batch = Batch(features, Boxes.join([boxes_of_image(1), boxes_of_image(2)]), sizes, sizes, torch.tensor([5, -1]))
    moved = batch.to("meta")
    assert isinstance(moved.images, Features)
    assert {value.device.type for value in moved.images.maps.values()} == {"meta"}
    assert (moved.images.input_size, moved.images.after) == ((64, 64), "layer4")
    assert moved.targets.boxes.is_meta
    assert moved.targets.masks == batch.targets.masks
    assert moved.sizes.is_meta
    assert moved.indices.is_meta
    assert len(batch) == 2


def test_a_batch_splits_into_views_of_the_same_memory() -> None:
    features = Features({"c4": torch.arange(10.0).view(10, 1, 1, 1)}, (32, 32), "layer3")  # two views of five images
    numbers = torch.arange(5)
    batch = Batch(features, numbers, sizes=numbers, original_sizes=numbers, indices=numbers)
    first, second = batch.split([3, 2])
    assert [len(first), len(second)] == [3, 2]
    assert second.indices.tolist() == second.targets.tolist() == [3, 4]
    assert isinstance(second.images, Features)
    assert second.images.maps["c4"].flatten().tolist() == [6, 7, 8, 9]
    assert (second.images.after, second.images.input_size) == ("layer3", (32, 32))
    assert second.images.maps["c4"].untyped_storage().data_ptr() == features.maps["c4"].untyped_storage().data_ptr()
