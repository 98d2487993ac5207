from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from resnet_tl.tracking.loggers.images import Images, rgb


@pytest.mark.parametrize(("dtype", "value"), [(torch.uint8, 7), (torch.uint16, 7 * 256 + 9)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_channels_and_depth_become_rgb_bytes(channels: int, dtype: torch.dtype, value: int) -> None:
    image = torch.zeros(channels, 2, 5, dtype=torch.int32)
    image[0] = value
    pixels = rgb(image.to(dtype))
    assert (pixels.shape, pixels.dtype, pixels.flags.c_contiguous) == ((2, 5, 3), np.uint8, True)
    assert pixels[0, 0].tolist() == ([7, 0, 0] if channels == 3 else [7, 7, 7])


@pytest.mark.parametrize(("sanity", "batch_idx"), [(True, 0), (False, 1), (False, 0)])
def test_nothing_is_read_where_nothing_can_be_sent(sanity: bool, batch_idx: int) -> None:
    """In a sanity check, after the first batch, without W&B."""

    class Never(Images):
        key = "never"

        def can_overlay(self, outputs: Any) -> bool:
            raise AssertionError

        def overlays(self, *args: Any) -> Any:
            raise AssertionError

    trainer: Any = SimpleNamespace(loggers=[], sanity_checking=sanity)
    Never().on_validation_batch_end(trainer, None, None, None, batch_idx)  # type: ignore[arg-type]
