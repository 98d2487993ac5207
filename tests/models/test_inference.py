"""Whole pictures, tiles, mirrored pictures and scales."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.segmentation.base import PixelLogits
from resnet_tl.models.inference import Inference, segment


class Pixels(nn.Module):
    """A network that sees single pixels: its logits are the picture's channels."""

    def normalise(self, images: Tensor, sizes: Tensor | None = None) -> Tensor:
        return images.float()

    def run(self, images: Tensor, sizes: Tensor | None = None) -> PixelLogits:
        return PixelLogits(images, None)


@pytest.mark.parametrize("size", [(32, 32), (100, 70), (20, 130), (64, 96)])
@pytest.mark.parametrize("how", [Inference(), Inference(tile=64, overlap=16), Inference(tile=32, overlap=0, flip=True)])
def test_tiles_and_mirrors_of_what_sees_pixels_change_nothing(size: tuple[int, int], how: Inference) -> None:
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    torch.testing.assert_close(segment(Pixels(), images, None, how), images.float())


def test_scales_are_averaged() -> None:
    images = torch.full((1, 3, 40, 50), 7, dtype=torch.uint8)
    logits = segment(Pixels(), images, None, Inference(scales=[0.5, 1.0, 1.5], flip=True))
    torch.testing.assert_close(logits, images.float())


@pytest.mark.parametrize("options", [{"tile": 100}, {"tile": 64, "overlap": 64}, {"scales": []}, {"scales": [0.0]}])
def test_wrong_options_are_one_sentence(options: dict) -> None:
    with pytest.raises(RecipeError, match="inference"):
        Inference(**options)
