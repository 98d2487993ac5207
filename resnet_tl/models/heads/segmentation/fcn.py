"""FCN: classifies the cells of the deepest level (arXiv:1411.4038; torchvision's form, on a dilated trunk)."""

from __future__ import annotations

from typing import Any

from resnet_tl.models.heads.segmentation.base import SegmentationHead, fcn_decoder
from resnet_tl.structures.records import Level


class FCNHead(SegmentationHead):
    """FCN; `backbone.output_stride: 8` gives torchvision's `fcn_resnet50`. Options are those of `SegmentationHead`."""

    def __init__(self, levels: list[Level], classes: list[str], **options: Any) -> None:
        super().__init__(levels, classes, fcn_decoder(levels[-1]), **options)
