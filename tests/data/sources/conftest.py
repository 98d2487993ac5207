"""Files of images and masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.sources.class_list import palette


@pytest.fixture
def save_photo() -> Callable[..., None]:
    return _photo


@pytest.fixture
def save_mask() -> Callable[..., None]:
    return _mask


def _photo(path: Path, size: tuple[int, int] = (12, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(path)


def _mask(path: Path, values: list[int], size: tuple[int, int] = (12, 8), colours: bool = False) -> None:
    """Repeats the values over the mask; a palette PNG where `colours`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.resize(np.array(values, np.uint8), (size[1], size[0])))
    if colours:
        image.putpalette(palette(256).tobytes())
    image.save(path)
