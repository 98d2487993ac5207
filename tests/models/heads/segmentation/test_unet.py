from __future__ import annotations

import pytest
import torch

from resnet_tl.errors import RecipeError
from tests.models.heads.segmentation.networks import network


def test_a_unet_that_ends_early_skips_steps_and_their_levels() -> None:
    whole, early = network("unet"), network("unet", channels=(32, 16, 8), stride=4)
    assert (len(whole.head.decoder.steps), len(early.head.decoder.steps)) == (5, 3)
    assert early._read == ["c5", "c4", "c3", "c2"]
    outputs = early(torch.randint(0, 256, (2, 3, 45, 70), dtype=torch.uint8))
    assert outputs.main.shape == (2, 3, 45, 70)
    assert early.head.fc.in_channels == 8


def test_invalid_options_are_one_sentence() -> None:
    with pytest.raises(RecipeError, match=r"head.channels has 2 values, expected 5"):
        network("unet", channels=(8, 4))
    with pytest.raises(RecipeError, match=r"head.stride is 3, expected 1 or one of a level that is not the deepest"):
        network("unet", stride=3)
