"""Images for the device: which files it decodes, and the limits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.decode import decode_bytes
from resnet_tl.data.images.deferred import Crop, Deferred, Mirror, of_pixels, open_encoded
from resnet_tl.data.images.limits import TooLarge
from resnet_tl.errors import DataError, RecipeError

Smooth = Callable[..., np.ndarray]


def photo(image: np.ndarray, encoded: Callable[..., bytes]) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, "JPEG", exif=exif)


def test_pixels_are_cropped_before_they_are_sent() -> None:
    image = of_pixels(np.zeros((40, 50, 3), np.uint8))
    cropped = image[10:20, 5:9]
    assert isinstance(cropped.source, np.ndarray)
    assert (cropped.source.shape, cropped.steps) == ((10, 4, 3), ())
    later = image.mirrored()[10:20, 5:9]
    assert isinstance(later.source, np.ndarray)
    assert (later.source.shape, later.shape, later.steps) == ((40, 50, 3), (10, 4, 3), (Mirror(), Crop(10, 5, 10, 4)))


def test_other_images_are_decoded_by_the_workers(
    smooth: Smooth, encoded: Callable[..., bytes], save: Callable[[str, bytes], str]
) -> None:
    whole = photo(smooth(30, 44), encoded)
    kinds = {
        "a.png": encoded(smooth(30, 44), "PNG"),
        "cmyk.jpg": encoded(Image.fromarray(smooth(30, 44)).convert("CMYK"), "JPEG"),
        "rgb.jpg": encoded(smooth(30, 44), "JPEG", keep_rgb=True),
    }
    for name, data in kinds.items():
        image = open_encoded(save(name, data), 3)
        assert isinstance(image, Deferred)
        assert isinstance(image.source, np.ndarray), name
        assert (image.source == decode_bytes(data, name)).all()
    with pytest.raises(DataError, match=r"cut\.jpg: a damaged image"):
        open_encoded(save("cut.jpg", whole[: len(whole) // 2]), 3)
    with pytest.raises(RecipeError, match=r"augment_on: device changes 8-bit images, but .*deep\.png has 16 bits"):
        open_encoded(save("deep.png", encoded(np.zeros((9, 9), np.uint16), "PNG")), 1)


def test_limits_are_those_of_workers(
    smooth: Smooth, encoded: Callable[..., bytes], save: Callable[[str, bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save("a.jpg", photo(smooth(44, 30), encoded))
    monkeypatch.setenv("RESNET_TL_MAX_PIXELS", "1000")
    with pytest.raises(TooLarge, match=r"a\.jpg: is 30 x 44 pixels, too large"):
        open_encoded(path, 3)
