"""Each box, and each class of an image, is a sample with the mean features of its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from resnet_tl.data.detection import CocoDetection
from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.errors import DataError
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Network
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.run.rank import rank
from resnet_tl.run.region_features import region_features
from resnet_tl.structures.records import Level, Preprocessing

SAMPLES = shipped_root() / "data" / "samples"
LEVELS = [Level("b", 2, 8), Level("a", 2, 4)]
CPU = torch.device("cpu")


class Places(nn.Module):
    """A trunk whose features are the x and y of each cell's centre in pixels."""

    in_channels, feature_info, preprocessing = 3, LEVELS[::-1], Preprocessing()

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"all": [self]}

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        def places(stride: int) -> torch.Tensor:
            height, width = (-(-side // stride) for side in images.shape[2:])
            y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            return (torch.stack([x, y]) + 0.5).mul(stride).expand(len(images), -1, -1, -1)

        return {level.name: places(level.stride) for level in LEVELS}


def network() -> Network:
    return Network(Places(), None, LinearHead(LEVELS[:1], ["a"]))


def test_features_of_a_box_are_those_around_its_centre() -> None:
    data = CocoDetection(root=str(SAMPLES / "detection"), image_size=128, batch_size=3, num_workers=0)
    listing = data.listings["train"].select(np.arange(6))
    found = region_features(network(), data, listing, LEVELS, CPU)
    expected, count = [], 0
    for batch in data.evaluation_batches(listing):
        objects = batch.targets.objects()
        expected += ((objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2).tolist()
        np.testing.assert_array_equal(found.targets[count:][: len(objects)], objects.labels)
        np.testing.assert_array_equal(found.images[count:][: len(objects)], batch.indices[objects.image])
        count += len(objects)
    assert len(found.features) == count > 6
    # Cells at the border of an image have no neighbours beyond it: there the mean is a little off.
    np.testing.assert_allclose(found.features, np.tile(expected, 2), atol=4)
    assert np.median(np.abs(found.features - np.tile(expected, 2))) < 0.01


def test_features_of_a_class_are_the_mean_over_its_pixels() -> None:
    data = MaskFolder(root=str(SAMPLES / "segmentation"), batch_size=1, num_workers=0)
    listing = data.listings["train"].select(np.arange(3))
    found = region_features(network(), data, listing, LEVELS, CPU)
    rows = iter(zip(*found, strict=True))
    for batch in data.evaluation_batches(listing):
        mask = batch.targets[0].numpy()
        assert not any(side % 8 for side in mask.shape), "cells of whole pixels"
        for k in np.unique(mask[mask != 255]):
            y, x = np.nonzero(mask == k)
            features, target, image = next(rows)
            assert (target, image) == (k, int(batch.indices))
            for level, stride in ((0, 8), (1, 4)):
                centres = [(axis // stride + 0.5).mean() * stride for axis in (x, y)]
                np.testing.assert_allclose(features[2 * level :][:2], centres, rtol=1e-4)
    assert next(rows, None) is None


@pytest.mark.parametrize(
    ("recipe", "folder", "size", "words"),
    [
        ("detect/folder_fcos_resnet50", "detection", {"image_size": 64}, "boxes of"),
        ("segment/folder_fpn_resnet34", "segmentation", {"short": 64}, "regions of"),
    ],
)
def test_recipes_of_boxes_and_masks_are_ranked(recipe: str, folder: str, size: dict[str, Any], words: str) -> None:
    options = {"root": str(SAMPLES / folder), "num_workers": 0, **size}
    overrides = [(f"data.{key}", value) for key, value in options.items()]
    ranking = rank([recipe], overrides, ["resnet20_cifar=builtin/resnet20_cifar10"], images=8)
    assert words in ranking.notes[-1]
    (found,) = ranking.rated
    assert found.interval[0] <= found.probe <= found.interval[1]
    assert found.earlier is not None
    assert found.leep is not None


def test_one_image_cannot_be_ranked(tmp_path: Path) -> None:
    data = CocoDetection(root=str(SAMPLES / "detection"), image_size=64, batch_size=3, num_workers=0)
    with pytest.raises(DataError, match="what is annotated for training is of one class or in one image"):
        region_features(network(), data, data.listings["train"].select(np.arange(1)), LEVELS, CPU)
