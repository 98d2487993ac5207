"""Features of annotated regions before anything is trained: of each box, or of each class in an image."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import roi_align

from resnet_tl.data.base import ImageData
from resnet_tl.data.listings.listing import Listing
from resnet_tl.errors import DataError
from resnet_tl.models.network import Network, is_divisible
from resnet_tl.structures.records import IGNORE, Batch, Boxes, Level

CELLS = 7
"""Per side, into which a box is divided by RoIAlign before they are averaged: those of the box heads."""


class Samples(NamedTuple):
    """features: `[M, F]` float32. targets: class of each, `[M]`. images: of each, a number of its image, `[M]`."""

    features: NDArray[np.float32]
    targets: NDArray[np.int64]
    images: NDArray[np.int64]


@torch.inference_mode()
def region_features(
    network: Network,
    data: ImageData[Any],
    listing: Listing,
    levels: list[Level],
    device: torch.device,
) -> Samples:
    """Returns the features of all boxes without crowds, or of each class that an image shows, the mean over its pixels;
    those of several levels one after another. Images are preprocessed as in evaluation.

    Raises:
        DataError: what is annotated is of one class or in one image, or an image cannot be read.
    """
    network = network.to(device).eval()
    names, parts = [level.name for level in levels], []
    for batch in data.evaluation_batches(listing):
        there = batch.to(device)
        images = network.normalise(there.images, there.sizes)
        maps = network.trunk(images, levels=names) if is_divisible(network.trunk) else network.trunk(images)
        chosen = [(maps[level.name], level.stride) for level in levels]
        found = _boxes(chosen, there) if isinstance(there.targets, Boxes) else _classes(chosen, there)
        parts.append([each.cpu().numpy() for each in found])
    joined = [np.concatenate(each) for each in zip(*parts, strict=True)]
    if not joined or any(len(np.unique(numbers)) < 2 for numbers in joined[1:]):
        raise DataError(
            f"{data.root}: what is annotated for training is of one class or in one image; expected several"
        )
    return Samples(*joined)


def _boxes(maps: list[tuple[Tensor, int]], batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    objects: Boxes = batch.targets.objects()
    rows = torch.cat([objects.image[:, None].to(objects.boxes), objects.boxes], 1)
    pooled = [roi_align(each, rows, CELLS, 1 / stride, aligned=True).mean((2, 3)) for each, stride in maps]
    return torch.cat(pooled, 1), objects.labels, batch.indices[objects.image]


def _classes(maps: list[tuple[Tensor, int]], batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    features, labels, images = [maps[0][0].new_empty(0, sum(each.shape[1] for each, _ in maps))], [], []
    for number, (mask, index) in enumerate(zip(batch.targets, batch.indices, strict=True)):
        present = mask[mask != IGNORE].unique()
        shown = (mask == present[:, None, None]).float()
        features.append(torch.cat([_mean_over(each[number], shown) for each, _ in maps], 1))
        labels.append(present.long())
        images.append(index.expand(len(present)))
    return torch.cat(features), torch.cat(labels), torch.cat(images)


def _mean_over(features: Tensor, regions: Tensor) -> Tensor:
    """Returns the mean `[P, F]` of a map `[F, h, w]` over regions `[P, H, W]` of 0 and 1; a cell counts by the share of
    it that a region covers."""
    weight = F.adaptive_avg_pool2d(regions, (features.shape[1], features.shape[2])).flatten(1)
    return weight @ features.flatten(1).T / weight.sum(1, keepdim=True)
