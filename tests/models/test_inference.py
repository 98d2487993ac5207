"""Whole images, tiles, mirrored images and scales."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.segmentation.base import PixelLogits
from resnet_tl.models.inference import GRID, Inference, _starts, segment


class Pixels(nn.Module):
    """A network that sees single pixels: its logits are the image's channels."""

    def normalise(self, images: Tensor, sizes: Tensor | None = None) -> Tensor:
        return images.float()

    def run(self, images: Tensor, sizes: Tensor | None = None) -> PixelLogits:
        return PixelLogits(images, None)


@pytest.mark.parametrize("size", [(32, 32), (100, 70), (20, 130), (64, 96)])
@pytest.mark.parametrize("how", [Inference(), Inference(tile=64, overlap=16), Inference(tile=32, overlap=0, flip=True)])
def test_tiles_and_mirrors_of_what_sees_pixels_change_nothing(size: tuple[int, int], how: Inference) -> None:
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    torch.testing.assert_close(segment(Pixels(), images, None, how), images.float())


@pytest.mark.parametrize("side", [20, 64, 65, 100, 480, 1000])
@pytest.mark.parametrize(("tile", "overlap"), [(64, 16), (64, 32), (256, 64), (32, 0)])
def test_tiles_are_as_few_as_can_be_and_evenly_apart(side: int, tile: int, overlap: int) -> None:
    starts = _starts(side, tile, overlap)
    steps = torch.tensor(starts).diff()
    assert starts[0] == 0
    assert all(start % GRID == 0 for start in starts)
    assert side - GRID < max(starts[-1] + tile, side) < max(side, tile) + GRID
    assert len(starts) == 1 or (steps.max() <= tile - overlap and steps.max() - steps.min() <= GRID)
    assert len(starts) == 1 + -(-max(-(-(side - tile) // GRID), 0) // ((tile - overlap) // GRID or 1))


def test_a_tile_ends_with_the_image() -> None:
    """What is made up beyond would be seen by the last pixels, which the whole image's never see."""
    seen = []

    class Recording(Pixels):
        def run(self, images: Tensor, sizes: Tensor | None = None) -> PixelLogits:
            seen.append(tuple(images.shape[-2:]))
            return super().run(images)

    segment(Recording(), torch.zeros(1, 3, 100, 70, dtype=torch.uint8), None, Inference(tile=64, overlap=16))
    assert seen == [(64, 64), (64, 38), (64, 64), (64, 38), (36, 64), (36, 38)]


def test_scales_are_averaged() -> None:
    images = torch.full((1, 3, 40, 50), 7, dtype=torch.uint8)
    logits = segment(Pixels(), images, None, Inference(scales=[0.5, 1.0, 1.5], flip=True))
    torch.testing.assert_close(logits, images.float())


@pytest.mark.parametrize("options", [{"tile": 100}, {"tile": 64, "overlap": 64}, {"scales": []}, {"scales": [0.0]}])
def test_wrong_options_are_one_sentence(options: dict) -> None:
    with pytest.raises(RecipeError, match="inference"):
        Inference(**options)
