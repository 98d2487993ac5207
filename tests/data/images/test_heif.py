"""HEIC files are read where pillow-heif is installed, and say so where it is not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.decode import decode
from resnet_tl.data.images.headers import read_header
from resnet_tl.data.images.heif import is_heif
from resnet_tl.data.sources.tree import is_image
from resnet_tl.errors import DataError

START = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic\0\0\0\x14ispe\0\0\0\0" + (4).to_bytes(4, "big") + (3).to_bytes(4, "big")


def test_files_are_told_by_their_brands() -> None:
    assert is_heif(START)
    assert not is_heif(START.replace(b"heic", b"avif"))
    assert not any(map(is_heif, (b"", b"\x89PNG\r\n\x1a\n", b"\0\0\0\x18ftyp")))
    assert is_image("IMG_0001.HEIC")


def test_without_the_library_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(START)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match=r"a\.heic: HEIC needs pillow-heif: pip install 'resnet-tl\[heic\]'"):
        decode(str(tmp_path / "a.heic"))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_upright_and_a_damaged_one_named(tmp_path: Path, channels: int) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    path, exif = tmp_path / "a.heic", Image.Exif()
    exif[274] = 6
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, 32:] = 200
    Image.fromarray(pixels).save(path, quality=-1, exif=exif.tobytes())  # a rotation of the file, as phones store it
    image = decode(str(path), channels)
    assert image.shape == (64, 48, channels)
    assert image[:30].max() < 10
    assert image[34:].min() > 190
    assert read_header(str(path)) == (64, 48, 1)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"a\.heic: "):
        decode(str(path), channels)
