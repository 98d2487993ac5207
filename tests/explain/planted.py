"""Tiny networks trained on images in which a coloured square decides everything."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from resnet_tl.models.heads.base import Head
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.segmentation.fcn import FCNHead
from resnet_tl.models.heads.segmentation.losses import CrossEntropy
from resnet_tl.models.network import Network
from resnet_tl.models.pyramid import FPN
from resnet_tl.models.resnet import ResNet
from resnet_tl.models.variants import Variant
from resnet_tl.structures.records import Boxes, Preprocessing

CLASSES = ["red", "blue", "grey"]
COLOURS = ((230, 40, 40), (40, 40, 230))
SIDE, CUE = 32, 10
TINY = Variant("basic", (1, 1, 1), (8, 16, 32), (8,), small_images=True)


class Cues:
    """N images `[N, 3, 32, 32]` of noise with a square in a random corner.

    Attributes: labels `[N]` (0 red, 1 blue), boxes `[N, 4]`, masks `[N, 32, 32]` (2 where there is no square).
    """

    def __init__(self, count: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        pixels = draw.integers(60, 196, (count, SIDE, SIDE, 3), np.uint8)
        labels = draw.integers(0, 2, count)
        corners = draw.integers(0, 2, (count, 2)) * (SIDE - CUE - 2) + 1
        masks = np.full((count, SIDE, SIDE), 2, np.uint8)
        for image, mask, label, (x, y) in zip(pixels, masks, labels, corners.tolist(), strict=True):
            image[y : y + CUE, x : x + CUE] = COLOURS[label]
            mask[y : y + CUE, x : x + CUE] = label
        self.images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        self.labels, self.masks = torch.from_numpy(labels), torch.from_numpy(masks)
        self.boxes = torch.from_numpy(np.concatenate([corners, corners + CUE], 1)).float()

    def quadrants(self) -> Tensor:
        """Returns the quarter of each image that holds its square, `[N, 32, 32]` bool."""
        rows, columns = (torch.arange(SIDE) >= SIDE // 2 for _ in range(2))
        down, right = self.boxes[:, 1] > CUE, self.boxes[:, 0] > CUE
        return (rows == down[:, None])[:, :, None] & (columns == right[:, None])[:, None, :]

    def inside(self) -> Tensor:
        """Returns the squares, `[N, 32, 32]` bool."""
        return self.masks < 2

    def objects(self) -> Boxes:
        count = len(self.labels)
        nothing, area = torch.zeros(count, dtype=torch.bool), torch.full((count,), float(CUE**2))
        return Boxes(self.boxes, self.labels, torch.arange(count), nothing, area)


def share(maps: Tensor, places: Tensor) -> Tensor:
    """Returns the share `[N]` of the positive values of maps `[N, H, W]` that lie in places `[N, H, W]`."""
    positive = maps.clamp(min=0)
    return (positive * places).sum((1, 2)) / positive.sum((1, 2)).clamp(min=1e-12)


@cache
def classifier() -> Network:
    return _trained(lambda levels: LinearHead(levels, CLASSES[:2]), lambda cues: cues.labels, neck=False)


@cache
def detector() -> Network:
    return _trained(lambda levels: FCOS(levels, CLASSES[:2], convs=1, norm="group"), Cues.objects)


@cache
def segmenter() -> Network:
    loss = partial(CrossEntropy, class_weights=[4.0, 4.0, 1.0])
    return _trained(lambda levels: FCNHead(levels, CLASSES, losses=[loss]), lambda cues: cues.masks, neck=False)


def _trained(head: Callable[..., Head], targets: Callable[[Cues], object], neck: bool = True) -> Network:
    torch.manual_seed(0)
    trunk = ResNet(TINY)
    trunk.preprocessing = Preprocessing(size=SIDE, crop=1.0)
    pyramid = FPN(trunk.feature_info, channels=16, outputs=("p3", "p4")) if neck else None
    levels = trunk.feature_info if pyramid is None else pyramid.feature_info
    network = Network(trunk, pyramid, head(levels)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    for step in range(STEPS):
        cues = Cues(BATCH, step)
        loss = torch.stack(list(network.head.loss(network(cues.images), targets(cues)).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


STEPS, BATCH = 40, 24
