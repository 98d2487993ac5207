"""Small pictures of image files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from resnet_tl.prediction.thumbnails import SIDE, TINY, read_small, small


@pytest.mark.parametrize(("height", "width"), [(2100, 1400), (300, 4000), (240, 240), (8, 8)])
def test_a_picture_keeps_its_form_at_a_readable_size(height: int, width: int, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))
    pixels = read_small(str(path), 3)
    assert min(pixels.shape[:2]) >= min(SIDE, height, width)
    picture = small(Image.fromarray(pixels))
    assert min(picture.size) == (SIDE if min(height, width) > SIDE else max(min(height, width), TINY // 8 * 8))
    assert picture.width / picture.height == pytest.approx(width / height, rel=0.01)
