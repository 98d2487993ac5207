"""Sizes and EXIF orientations, from headers where possible."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from resnet_tl.data.images import headers
from resnet_tl.data.images.decode import decode
from resnet_tl.data.images.headers import read_header
from resnet_tl.errors import DataError


def test_every_format_has_its_decoded_size(
    smooth: Callable[..., np.ndarray], encoded: Callable[..., bytes], save: Callable[[str, bytes], str]
) -> None:
    image = smooth(40, 56)
    for kind, ending in (
        ("JPEG", "jpg"),
        ("PNG", "png"),
        ("BMP", "bmp"),
        ("GIF", "gif"),
        ("WEBP", "webp"),
        ("TIFF", "tif"),
    ):
        path = save(f"a.{ending}", encoded(image, kind))
        assert read_header(path) == (40, 56, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation(
    smooth: Callable[..., np.ndarray],
    encoded: Callable[..., bytes],
    save: Callable[[str, bytes], str],
    orientation: int,
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    path = save("a.jpg", encoded(smooth(40, 56), "JPEG", exif=exif))
    assert read_header(path) == (*decode(path).shape[:2], orientation)


def test_a_header_longer_than_what_is_read_first(
    smooth: Callable[..., np.ndarray], encoded: Callable[..., bytes], save: Callable[[str, bytes], str]
) -> None:
    exif = Image.Exif()
    exif[274] = 6
    exif[37510] = b"x" * 40_000
    path = save("a.jpg", encoded(smooth(40, 56), "JPEG", exif=exif))
    assert read_header(path) == (56, 40, 6)
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 40_000)
    assert read_header(save("a.png", encoded(smooth(40, 56), "PNG", pnginfo=info)))[:2] == (40, 56)


def test_jpegs_and_pngs_are_not_decoded(
    smooth: Callable[..., np.ndarray],
    encoded: Callable[..., bytes],
    save: Callable[[str, bytes], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(headers, "_decoded", None)
    for kind in ("JPEG", "PNG"):
        assert read_header(save("a", encoded(smooth(400, 560), kind)[:20_000]))[:2] == (400, 560)


def test_a_file_that_is_not_an_image_is_named(save: Callable[[str, bytes], str]) -> None:
    with pytest.raises(DataError, match=r"a.jpg: not an image"):
        read_header(save("a.jpg", b"hello"))
    with pytest.raises(DataError, match=r"lost\.jpg"):
        read_header("lost.jpg")
