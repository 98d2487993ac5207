"""Small segmentation networks for tests."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from resnet_tl.models.heads.base import Head
from resnet_tl.models.heads.segmentation.deeplab import DeepLabV3Head, DeepLabV3PlusHead
from resnet_tl.models.heads.segmentation.fcn import FCNHead
from resnet_tl.models.heads.segmentation.psp import PSPHead
from resnet_tl.models.heads.segmentation.semantic_fpn import SemanticFPNHead
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.models.network import Backbone, NeckFactory, Network, build
from resnet_tl.models.pyramid import FPN

CLASSES = ["sky", "road", "car"]
HEADS: dict[str, tuple[type[Head], NeckFactory | None]] = {
    "fcn": (FCNHead, None),
    "deeplabv3": (DeepLabV3Head, None),
    "deeplabv3+": (DeepLabV3PlusHead, None),
    "psp": (PSPHead, None),
    "unet": (UNetHead, None),
    "semantic fpn": (SemanticFPNHead, partial(FPN, channels=16)),
}


def network(
    kind: str, name: str = "resnet_tiny", output_stride: int = 32, classes: list[str] = CLASSES, **options: Any
) -> Network:
    torch.manual_seed(0)
    head, neck = HEADS[kind]
    return build(Backbone(name, output_stride=output_stride), neck, partial(head, **options), classes)
