"""Images in, masks out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_tl.data.images.class_masks import ClassMask
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.listed_transforms import ListedTransforms, partial_view
from resnet_tl.data.sources.class_list import class_colours
from resnet_tl.models.inference import Inference, segment
from resnet_tl.prediction.base import Options, Prediction, Predictor
from resnet_tl.prediction.exported.description import TaskName
from resnet_tl.prediction.exported.network import AnyNetwork
from resnet_tl.prediction.inputs import SEED
from resnet_tl.prediction.loader import Input, Loader
from resnet_tl.prediction.whole_image import WholeImage


@dataclass(frozen=True)
class MaskPrediction(Prediction):
    """The mask of one image.

    image: `[H, W, C]`, as decoded. mask: `[H, W]` class indices, at the image's own size.
    """

    image: ImageArray
    mask: ClassMask


class MaskPredictor(Predictor[MaskPrediction]):
    """A network that segments images. They are resized as in validation, and their logits back to their own size.

    Args:
        eval_transforms: the transforms of validation, as a recipe lists them, in place of resizing. With one that crops
            or pads, none is used, because masks are of the whole image.

    Attributes: those of `Predictor`, `inference`, and `colours` (`[K, 3]` RGB: the training masks').
    """

    task: ClassVar[TaskName] = "segmentation"

    def __init__(
        self,
        network: AnyNetwork,
        classes: Sequence[str],
        inference: Inference | None = None,
        *,
        colours: Sequence[Sequence[int]] | None = None,
        eval_transforms: list[dict[str, Any]] | None = None,
        device: str = "cpu",
        batch_size: int = 1,
    ) -> None:
        loader = Loader(WholeImage(network.preprocessing), len(network.mean), keep_images=True)
        if eval_transforms is not None and (name := partial_view(eval_transforms)):
            warnings.warn(
                f"masks are of whole images, so the eval_transforms of validation, with {name}, are not used",
                stacklevel=3,
            )
        elif eval_transforms is not None:  # in one thread, because albumentations keeps state in its transforms
            transforms = ListedTransforms(eval_transforms)
            loader = Loader(transforms, len(network.mean), keep_images=True, threads=1)
        super().__init__(network, classes, loader, device=device, batch_size=batch_size)
        self.inference = inference or Inference()
        self.colours = class_colours(classes) if colours is None else np.array(colours, np.uint8)

    @torch.inference_mode()
    def logits(self, image: ImageArray) -> Tensor:
        """`[K, H, W]` fp32 of an image `[H, W, C]`, at its own size."""
        original = (image.shape[0], image.shape[1])
        pixels = np.ascontiguousarray(self.loader.transform(image, original, SEED))
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.network.mean.device)
        return _at_size(segment(self.network, images, None, self.inference), original)[0]

    def _predict_images(self, images: Tensor, inputs: Sequence[Input], options: Options) -> Iterator[MaskPrediction]:
        logits = segment(self.network, images, None, self.inference)
        self.check_finite(logits, inputs)
        for number, each in enumerate(inputs):
            assert each.image is not None
            # One image after another, as K maps of the size of a large photograph fill memory. A slice stays
            # channels-last, where an index does not, and resizes in half the time.
            maps = _at_size(logits[number : number + 1], (each.image.shape[0], each.image.shape[1]))
            mask = maps[0].argmax(0).to(torch.uint8).cpu().numpy()
            yield MaskPrediction(each.index, each.path, each.image, mask)


def _at_size(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """`[1, K, h, w]` -> `[1, K, H, W]`."""
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
