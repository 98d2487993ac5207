"""Decoding: every kind of file against Pillow's reading of it, and one sentence for every unreadable file."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from resnet_tl.data.images.decode import decode, jpeg_size, read_bytes
from resnet_tl.errors import DataError

Smooth = Callable[..., np.ndarray]
Encoded = Callable[..., bytes]
Save = Callable[[str, bytes], str]


def pillow(data: bytes, mode: str = "RGB") -> np.ndarray:
    """A file as Pillow reads it, upright."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert(mode))


def variants(image: np.ndarray, encoded: Encoded) -> dict[str, bytes]:
    """The same image in files of many kinds."""
    rgb, alpha = Image.fromarray(image), np.full(image.shape[:2], 128, np.uint8)
    alpha[:30] = 0
    rgba = Image.fromarray(np.dstack([image, alpha]))
    other = rgb.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return {
        "rgb.jpg": encoded(rgb, "JPEG", quality=95),
        "progressive.jpg": encoded(rgb, "JPEG", quality=95, progressive=True),
        "grey.jpg": encoded(rgb.convert("L"), "JPEG", quality=95),
        "rgb.png": encoded(rgb, "PNG"),
        "rgba.png": encoded(rgba, "PNG"),
        "grey_alpha.png": encoded(rgba.convert("LA"), "PNG"),
        "palette.png": encoded(rgb.quantize(64), "PNG"),
        "palette_transparent.png": encoded(rgb.quantize(64), "PNG", transparency=3),
        "one_bit.png": encoded(rgb.convert("1"), "PNG"),
        "palette.gif": encoded(rgb, "GIF"),
        "animated.gif": encoded(rgb, "GIF", save_all=True, append_images=[other]),
        "transparent.gif": encoded(rgb.quantize(64), "GIF", transparency=3),
        "lossy.webp": encoded(rgb, "WEBP", quality=90),
        "lossless.webp": encoded(rgb, "WEBP", lossless=True),
        "alpha.webp": encoded(rgba, "WEBP", lossless=True, exact=True),
        "rgb.bmp": encoded(rgb, "BMP"),
        "rgb.tiff": encoded(rgb, "TIFF"),
        "rgba.tiff": encoded(rgba, "TIFF"),
        "deflated_rgba.tiff": encoded(rgba, "TIFF", compression="tiff_adobe_deflate"),
        "grey_alpha.tiff": encoded(rgba.convert("LA"), "TIFF"),
        "deflated.tiff": encoded(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "rgb.ppm": encoded(rgb, "PPM"),
    }


KINDS = list(variants(np.zeros((60, 80, 3), np.uint8), lambda *_, **__: b""))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_what_pillow_reads(kind: str, smooth: Smooth, encoded: Encoded, save: Save) -> None:
    data = variants(smooth(), encoded)[kind]
    image = decode(save(kind, data))
    assert (image.dtype, image.shape) == (np.uint8, (60, 80, 3))
    np.testing.assert_array_equal(image, pillow(data))
    if "grey" in kind:
        assert (image == image[..., :1]).all()


def test_cmyk_becomes_rgb(smooth: Smooth, encoded: Encoded, save: Save) -> None:
    data = encoded(Image.fromarray(smooth()).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode(save("cmyk.jpg", data)).astype(int) - smooth()).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_images_are_upright(
    orientation: int, kind: str, options: dict[str, int], smooth: Smooth, encoded: Encoded, save: Save
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(smooth(), kind, exif=exif, **options)
    image = decode(save(f"turned.{kind}", data))
    np.testing.assert_array_equal(image, pillow(data))
    if kind == "JPEG":
        assert jpeg_size(data) == image.shape[:2]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("stored", [1, 3, 4])
def test_16_bits_stay_16_bits(channels: int, kind: str, stored: int, smooth: Smooth, save: Save) -> None:
    image = smooth(channels=stored, dtype=np.uint16)
    reordered = image if stored == 1 else image[..., [2, 1, 0, *range(3, stored)]]
    decoded = decode(save(f"deep{kind}", cv2.imencode(kind, reordered)[1].tobytes()), channels)
    assert (decoded.dtype, decoded.shape) == (np.uint16, (60, 80, channels))
    assert len(np.unique(decoded)) > 256
    if channels == 3:
        np.testing.assert_array_equal(decoded, np.repeat(image, 3, axis=2) if stored == 1 else image[..., :3])


def test_one_channel_is_grey(smooth: Smooth, encoded: Encoded, save: Save) -> None:
    data = encoded(smooth(), "PNG")
    grey = decode(save("rgb.png", data), channels=1)
    assert (grey.dtype, grey.shape) == (np.uint8, (60, 80, 1))
    assert np.abs(grey[..., 0].astype(int) - pillow(data, "L")).max() <= 1


@pytest.mark.parametrize(("channels", "dtype"), [(2, np.uint8), (4, np.uint16), (5, np.uint8), (12, np.uint16)])
def test_any_number_of_channels_is_returned_as_stored(channels: int, dtype: type, smooth: Smooth, save: Save) -> None:
    image = smooth(channels=channels, dtype=dtype)
    buffer = io.BytesIO()
    np.save(buffer, image)
    np.testing.assert_array_equal(decode(save("many.npy", buffer.getvalue()), channels), image)


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize(("channels", "dtype"), [(2, np.uint8), (4, np.uint8), (13, np.uint16)])
def test_many_channels_of_a_tiff_are_returned_as_stored(
    planes: str, channels: int, dtype: type, smooth: Smooth, tmp_path: Path
) -> None:
    tifffile = pytest.importorskip("tifffile")
    image, path = smooth(channels=channels, dtype=dtype), str(tmp_path / "bands.tiff")
    stored = image if planes == "contig" else np.ascontiguousarray(np.moveaxis(image, 2, 0))
    for order in "><":
        how = {"photometric": "minisblack", "planarconfig": planes, "byteorder": order, "compression": "zlib"}
        tifffile.imwrite(path, stored, **how)
        decoded = decode(path, channels)
        assert decoded.dtype == dtype
        np.testing.assert_array_equal(decoded, image)
    assert "expected height x width x 7 channels" in fault(path, channels=7)
    data = Path(path).read_bytes()
    for share in (0.05, 0.5, 0.9):
        Path(path).write_bytes(data[: int(len(data) * share)])
        fault(path, channels)


def test_a_tiff_of_many_channels_names_the_library_that_reads_it(
    monkeypatch: pytest.MonkeyPatch, save: Save, smooth: Smooth, encoded: Encoded
) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    assert "pip install 'resnet-tl[tiff]'" in fault(save("bands.tiff", encoded(smooth(), "TIFF")), channels=5)


def test_four_channels_of_a_png_are_rgba(smooth: Smooth, encoded: Encoded, save: Save) -> None:
    image = smooth(channels=4)
    np.testing.assert_array_equal(decode(save("rgba.png", encoded(image, "PNG")), 4), image)


@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_a_jpeg_is_decoded_at_a_fraction(reduce: int, smooth: Smooth, encoded: Encoded, save: Save) -> None:
    path = save("photo.jpg", encoded(smooth(120, 160), "JPEG", quality=95))
    image = decode(path, reduce=reduce)
    assert image.shape == (120 // reduce, 160 // reduce, 3)
    odd = save("odd.jpg", encoded(smooth(121, 163), "JPEG", quality=95))
    assert decode(odd, reduce=reduce).shape == (-(-121 // reduce), -(-163 // reduce), 3)
    whole = cv2.resize(decode(path), image.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(image.astype(int) - whole).mean() < 2


def test_other_files_are_not_reduced(smooth: Smooth, encoded: Encoded, save: Save) -> None:
    assert decode(save("image.png", encoded(smooth(), "PNG")), reduce=4).shape == (60, 80, 3)
    assert jpeg_size(encoded(smooth(), "PNG")) is None
    assert jpeg_size(b"\xff\xd8 and no more") is None


# Unreadable files


def fault(path: str, channels: int = 3) -> str:
    with pytest.raises(DataError) as caught:
        decode(path, channels)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "animated.gif"])  # its first frame may be whole
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_damaged(kind: str, share: float, smooth: Smooth, encoded: Encoded, save: Save) -> None:
    data = variants(smooth(), encoded)[kind]
    assert "damaged" in fault(save(f"cut_{kind}", data[: int(len(data) * share)]))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.99])
def test_a_truncated_photo_with_a_thumbnail_is_damaged(
    progressive: bool, share: float, smooth: Smooth, encoded: Encoded, save: Save
) -> None:
    """The thumbnail has its own end-of-image marker."""
    exif = Image.Exif()
    exif[0x927C] = encoded(smooth(16, 16), "JPEG")  # a JPEG inside the header
    data = encoded(smooth(), "JPEG", quality=95, progressive=progressive, exif=exif.tobytes())
    assert data.count(b"\xff\xd9") == 2
    assert "damaged" in fault(save("cut.jpg", data[: int(len(data) * share)]))


def test_a_jpeg_followed_by_other_bytes_is_whole(smooth: Smooth, encoded: Encoded, save: Save) -> None:
    data = encoded(smooth(), "JPEG", quality=95)
    for trailing in (b"\0" * 100, b"ftypmp42" + bytes(range(256)), b"\xff\xda\xff\xd8"):
        np.testing.assert_array_equal(decode(save("motion.jpg", data + trailing)), pillow(data))


def test_a_jpeg_without_its_last_two_bytes_is_what_pillow_makes_of_it(
    smooth: Smooth, encoded: Encoded, save: Save
) -> None:
    data = encoded(smooth(), "JPEG", quality=95)[:-2]
    try:
        expected = pillow(data)
    except OSError:
        assert "damaged" in fault(save("no_end.jpg", data))
    else:
        np.testing.assert_array_equal(decode(save("no_end.jpg", data)), expected)


def test_errors_name_the_file_and_the_fault(save: Save, smooth: Smooth, encoded: Encoded) -> None:
    folder = save("folder/image.png", encoded(smooth(), "PNG")).rpartition("/")[0]
    assert "no such file" in fault(folder + "/other.png")
    assert "directory" in fault(folder)
    assert "is empty" in fault(save("empty.jpg", b""))
    assert "not an image" in fault(save("text.jpg", b"<html>404</html>"))
    assert "not an image" in fault(save("text.tiff", b"<html>404</html>"), channels=5)
    assert "(60, 80, 3); expected height x width x 5" in fault(save("rgb.png", encoded(smooth(), "PNG")), channels=5)
    assert "float32" in fault(save("f.tiff", cv2.imencode(".tiff", smooth().astype(np.float32))[1].tobytes()))


def test_a_pipe_is_not_waited_for(tmp_path: Path, save: Save) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "cannot be read (not a file, but a device or a pipe)" in fault(str(tmp_path / "pipe.jpg"))
    assert "not a file" in fault("/dev/null")
    with pytest.raises(DataError, match="embedded null byte"):
        decode("a\0b.jpg")


def test_an_array_that_is_not_an_image_is_an_error(save: Save) -> None:
    def stored(array: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=True)
        return buffer.getvalue()

    assert "float64" in fault(save("a.npy", stored(np.zeros((4, 4, 3)))))
    assert "(4, 4, 3, 2)" in fault(save("b.npy", stored(np.zeros((4, 4, 3, 2), np.uint8))))
    assert "readable" in fault(save("c.npy", stored(np.zeros((4, 4, 3), np.uint8))[:-9]))
    assert "readable" in fault(save("d.npy", stored(np.array([{}], object))))  # never unpickled


def test_real_photos_are_what_pillow_reads(shared_data) -> None:  # type: ignore[no-untyped-def]
    photos = sorted((shared_data / "hymenoptera" / "val" / "ants").iterdir())[:20]
    for photo in [*photos, shared_data / "hymenoptera" / "train" / "ants" / "imageNotFound.gif"]:
        np.testing.assert_array_equal(decode(str(photo)), pillow(photo.read_bytes()))


def test_read_bytes_gives_the_file(save: Save) -> None:
    assert read_bytes(save("any", b"thing")) == b"thing"


def test_decoding_imports_neither_torch_nor_albumentations() -> None:
    code = (
        "import sys, resnet_tl.data.images.decode as d; "
        "print([m for m in ('torch', 'albumentations', 'lightning', 'PIL') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
