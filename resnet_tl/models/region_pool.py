"""Crops regions from the maps of a pyramid, at the centres of cells or as torchvision does."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import LevelMapper

from resnet_tl.structures.records import Level

DEEPEST = 32
"""Stride of the deepest level that regions are cropped from; deeper levels only propose (arXiv:1612.03144, 4.1)."""


def roi_pool(levels: list[Level], side: int, *, aligned: bool) -> MultiScaleRoIAlign:
    """Builds RoIAlign to crops of `side` x `side`, from the level that suits a region's size.

    aligned: cell i is centred at (i + 0.5) x stride pixels; else at i x stride.
    """
    # torchvision would infer the strides of the levels from the first batch; here they are known.
    read = [level for level in levels if level.stride <= DEEPEST]
    kind = AlignedRoIAlign if aligned else MultiScaleRoIAlign
    pool = kind([level.name for level in read], output_size=side, sampling_ratio=2)
    pool.scales = [1 / level.stride for level in read]
    depths = [level.stride.bit_length() - 1 for level in read]
    pool.map_levels = LevelMapper(depths[0], depths[-1], pool.canonical_scale, pool.canonical_level)
    return pool


class AlignedRoIAlign(MultiScaleRoIAlign):
    """RoIAlign with `aligned=True`, as detectron2's ROIAlignV2: torchvision's class has no such option."""

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """Crops boxes `[R_n, 4]` of each image, in pixels, from maps `[N, C, H, W]` to `[R, C, side, side]`."""
        image = torch.cat([torch.full_like(own[:, :1], number) for number, own in enumerate(boxes)])
        regions = torch.cat([image, torch.cat(boxes)], 1)
        suitable, places, crops = self.map_levels(boxes), [], []
        for number, (name, scale) in enumerate(zip(self.featmap_names, self.scales, strict=True)):
            places.append(torch.where(suitable == number)[0])
            own = regions[places[-1]]
            crops.append(roi_align(x[name], own, self.output_size, scale, self.sampling_ratio, aligned=True))
        return torch.cat(crops)[torch.cat(places).argsort()]
