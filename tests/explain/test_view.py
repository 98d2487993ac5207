"""Maps of what the network sees, moved onto the image."""

from __future__ import annotations

import numpy as np
import torch

from resnet_tl.data.images.crops import Views
from resnet_tl.explain.view import View, view_of
from resnet_tl.prediction.loader import Input

IMAGE = np.zeros((60, 100, 3), np.uint8)
EACH = Input(0, None, np.zeros((32, 32, 3), np.uint8), IMAGE, (60, 100))


def test_a_map_covers_its_window_alone() -> None:
    placed = View(IMAGE, (20, 0, 80, 60)).onto_image(torch.ones(4, 4))
    assert placed.shape == (60, 100)
    assert np.allclose(placed[:, 20:80], 1)
    assert not placed[:, :20].any()
    assert not placed[:, 80:].any()


def test_a_centre_crop_is_a_window_and_listed_transforms_have_their_own_image() -> None:
    view = view_of(EACH, Views(32, (32,)), whole=False)
    assert view.image is IMAGE
    assert np.allclose(view.window, (20, 0, 80, 60), atol=1.5)
    assert view_of(EACH, _transform, whole=False).image is EACH.pixels  # type: ignore[arg-type]
    assert view_of(EACH, _transform, whole=True) == View(IMAGE, (0, 0, 100, 60))  # type: ignore[arg-type]


def _transform() -> None: ...
