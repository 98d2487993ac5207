"""Whole images, tiles, mirrored images and scales."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.segmentation.base import PixelLogits
from resnet_tl.models.inference import GRID, Inference, segment, tile_starts


class Pixels(nn.Module):
    """A network without context: its logits are the image's channels."""

    def normalise(self, images: Tensor, sizes: Tensor | None = None) -> Tensor:
        return images.float()

    def run(self, images: Tensor, sizes: Tensor | None = None) -> PixelLogits:
        return PixelLogits(images, None)


@pytest.mark.parametrize("size", [(32, 32), (100, 70), (20, 130), (64, 96)])
@pytest.mark.parametrize(
    "inference", [Inference(), Inference(tile=64, overlap=16), Inference(tile=32, overlap=0, flip=True)]
)
def test_tiles_and_flips_change_nothing_without_context(size: tuple[int, int], inference: Inference) -> None:
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    torch.testing.assert_close(segment(Pixels(), images, None, inference), images.float())


@pytest.mark.parametrize("side", [20, 64, 65, 100, 480, 1000])
@pytest.mark.parametrize(("tile", "overlap"), [(64, 16), (64, 32), (256, 64), (32, 0)])
def test_tiles_are_as_few_as_possible_and_evenly_spaced(side: int, tile: int, overlap: int) -> None:
    starts = tile_starts(side, tile, overlap)
    steps = torch.tensor(starts).diff()
    assert starts[0] == 0
    assert all(start % GRID == 0 for start in starts)
    assert side - GRID < max(starts[-1] + tile, side) < max(side, tile) + GRID
    assert len(starts) == 1 or (steps.max() <= tile - overlap and steps.max() - steps.min() <= GRID)
    assert len(starts) == 1 + -(-max(-(-(side - tile) // GRID), 0) // ((tile - overlap) // GRID or 1))


def test_tiles_end_at_the_image_border() -> None:
    """Padding beyond the image would change its last pixels, which see no such padding in the whole image."""
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
def test_invalid_options_are_recipe_errors(options: dict) -> None:
    with pytest.raises(RecipeError, match="inference"):
        Inference(**options)
