"""albumentations' pipelines, drawn as for an image but not applied to it: the device does that."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_tl.data.images.device_colours import KEPT, Colours
from resnet_tl.data.images.listed_transforms import apply

if TYPE_CHECKING:
    import albumentations as A


class DrawnOnly:
    """A copy of a pipeline that takes the same draws in the same order, and returns them.

    Args:
        pipeline: of transforms of which `device_colours` has an equal.
    """

    def __init__(self, pipeline: A.Compose) -> None:
        self.pipeline, self._drawn = deepcopy(pipeline), Colours()
        for transform in _leaves(self.pipeline):
            # albumentations calls it with the image once all is drawn.
            transform.apply_with_params = partial(self._record, type(transform).__name__)

    def __call__(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> Colours:
        """Returns what is drawn for an image `[H, W, C]` of 8 bits."""
        self._drawn = {}
        apply(self.pipeline, rng, image=np.broadcast_to(np.uint8(0), shape))
        return self._drawn

    def _record(self, name: str, parameters: dict[str, Any], **data: Any) -> dict[str, Any]:
        self._drawn[name] = {kept: parameters[kept] for kept in KEPT[name]}
        return data


def _leaves(pipeline: Any) -> Iterator[Any]:
    for transform in pipeline.transforms:
        if hasattr(transform, "transforms"):
            yield from _leaves(transform)
        else:
            yield transform
