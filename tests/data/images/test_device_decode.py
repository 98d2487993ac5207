"""JPEG files decoded by torchvision, here on the CPU, and what falls back to the workers' decoder."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from resnet_tl.data.images import device_decode
from resnet_tl.data.images.decode import decode_bytes
from resnet_tl.data.images.deferred import Deferred, Jpeg, open_encoded
from resnet_tl.data.images.device_decode import check_decoder, decode_jpegs
from resnet_tl.errors import DataError

CPU = torch.device("cpu")
Smooth = Callable[..., np.ndarray]


def as_tensor(data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy())


def photo(image: np.ndarray, encoded: Callable[..., bytes], orientation: int = 1, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, "JPEG", exif=exif, **options)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_images_are_upright_and_equal_to_the_workers(
    smooth: Smooth, encoded: Callable[..., bytes], save: Callable[[str, bytes], str], orientation: int, channels: int
) -> None:
    path = save("a.jpg", photo(smooth(30, 44), encoded, orientation, quality=95))
    image = open_encoded(path, channels)
    assert isinstance(image, Deferred)
    assert isinstance(image.source, Jpeg)
    [here] = decode_jpegs([image.source], [as_tensor(image.source.data)], channels, CPU)
    there = decode_bytes(image.source.data, path, channels)
    assert image.shape == there.shape
    assert (here.permute(1, 2, 0).numpy() == there).all()


def test_where_the_device_fails_the_cpu_decodes(
    smooth: Smooth, encoded: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = [photo(smooth(30, 44, seed=seed), encoded) for seed in range(2)]
    headers = [Jpeg(b"", f"{number}.jpg", 1, (30, 44)) for number in range(2)]
    there = [decode_bytes(data, "") for data in files]

    def broken(*arguments: object) -> list[Tensor]:
        raise RuntimeError("Error while decoding JPEG images: nvjpegDecode failed: 3")

    monkeypatch.setattr(device_decode, "_decode", broken)
    with caplog.at_level(logging.INFO, "resnet_tl"):
        here = decode_jpegs(headers, [as_tensor(data) for data in files], 3, CPU)
    assert [(image.permute(1, 2, 0).numpy() == other).all() for image, other in zip(here, there, strict=True)] == [1, 1]
    assert "cpu cannot decode one of 2 JPEGs, the CPU does: Error while decoding JPEG images" in caplog.text
    with pytest.raises(DataError, match=r"1\.jpg: "):
        decode_jpegs(headers, [as_tensor(files[0]), as_tensor(b"\xff\xd8no image")], 3, CPU)


def test_a_device_that_decodes_passes_the_check() -> None:
    check_decoder(CPU)


def test_memory_that_is_out_is_not_a_matter_of_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> list[Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(device_decode, "_decode", full)
    with pytest.raises(torch.OutOfMemoryError):
        decode_jpegs([Jpeg(b"", "a.jpg", 1, (1, 1))], [as_tensor(b"\0")], 3, CPU)


def test_a_size_that_is_not_the_headers_is_decoded_by_the_cpu(
    smooth: Smooth, encoded: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = photo(smooth(30, 44), encoded)
    monkeypatch.setattr(device_decode, "_decode", lambda *_: [torch.zeros(3, 32, 48, dtype=torch.uint8)])
    [image] = decode_jpegs([Jpeg(b"", "a.jpg", 1, (30, 44))], [as_tensor(data)], 3, CPU)
    assert image.shape == (3, 30, 44)
    assert image.any()
