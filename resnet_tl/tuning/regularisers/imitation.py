"""Imitation of a detector's pyramid where the objects are (after arXiv:1906.03609)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from resnet_tl.structures.records import Boxes
from resnet_tl.tuning.regularisers.base import Start, Step
from resnet_tl.tuning.regularisers.teacher_term import TeacherTerm


class Imitation(TeacherTerm):
    """Pulls the maps of a detector's neck towards those of `tuning.teacher`, in cells that objects cover.

    The term is `features` times the sum over the levels of the squared difference of a 1x1 convolution of the maps from
    the teacher's, averaged over channels and over the cells of an image that any of its boxes touches, and then over
    images. The convolution is one for all levels and trained at the head's rate. The paper takes the cells whose
    anchors overlap an object well; boxes serve detectors without anchors, too. Without objects, and while everything up
    to the neck is frozen, there is no term.
    """

    name = "teacher_features"
    reads = ("maps",)
    layers: nn.Conv2d

    def start(self, start: Start) -> None:
        super().start(start)
        channels = {level.name: level.channels for level in start.module.network.neck.feature_info}
        self.strides: dict[str, int] = {level.name: level.stride for level in self.network.levels}
        own = channels[next(iter(self.strides))]
        self.layers = nn.Conv2d(own, self.network.channels, 1)
        if own == self.network.channels:
            nn.init.dirac_(self.layers.weight)
            nn.init.zeros_(self.layers.bias)  # type: ignore[arg-type]  # it has one
        self.reached = start.modules_until()

    def reads_images(self) -> bool:
        return self.learns()  # maps of a pyramid take more room than the images

    def penalty(self, step: Step) -> Tensor | None:
        if step.taught is None or step.taught.features is None:
            return None
        ours: Any = step.network.maps["neck"]
        theirs = step.taught.features
        assert isinstance(theirs, Mapping)
        each = [self._of_level(ours[name], theirs[name], step.targets, stride) for name, stride in self.strides.items()]
        return self.teacher.features * torch.stack(each).sum(0).mean()

    def _of_level(self, maps: Tensor, expected: Tensor, boxes: Boxes, stride: int) -> Tensor:
        """Returns the mean squared difference over the cells of objects, by image `[N]`."""
        kind = torch.promote_types(maps.dtype, torch.float32)
        projected = self.layers(maps.to(self.layers.weight.dtype)).to(kind)
        distance = (projected - expected.to(kind)).square().mean(1)
        cells = touched(boxes, len(maps), (maps.shape[2], maps.shape[3]), stride).to(kind)
        return (distance * cells).sum((1, 2)) / cells.sum((1, 2)).clamp(min=1)


def touched(boxes: Boxes, images: int, size: tuple[int, int], stride: int) -> Tensor:
    """Returns which cells `[N, H, W]` of `stride` pixels a box touches; crowds do not count."""
    objects = boxes.objects()
    corners = objects.boxes
    rows, columns = (torch.arange(side, device=corners.device) * stride for side in size)
    x1, y1, x2, y2 = corners.split(1, dim=1)
    in_rows = (rows < y2) & (rows + stride > y1)
    in_columns = (columns < x2) & (columns + stride > x1)
    of_image = objects.image == torch.arange(images, device=corners.device)[:, None]
    return torch.einsum("nm,mh,mw->nhw", of_image.float(), in_rows.float(), in_columns.float()) > 0
