"""Images that the tests of this folder write to files, and a disk that they fill."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def smooth() -> Callable[..., np.ndarray]:
    """`smooth(height, width, channels, dtype, seed)`: an image without sharp edges (JPEG keeps it), all of whose
    corners and channels differ: `[H, W, C]`."""

    def draw(height: int = 60, width: int = 80, channels: int = 3, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
        noise = np.random.default_rng(seed).random((6, 8, channels), np.float32)
        large = [cv2.resize(noise[..., i], (width, height), interpolation=cv2.INTER_LINEAR) for i in range(channels)]
        return (np.dstack(large).clip(0, 1) * np.iinfo(dtype).max).astype(dtype)

    return draw


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """`encoded(image, "JPEG", quality=95)`: a file's bytes as Pillow writes them."""

    def write(array: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image = array if isinstance(array, Image.Image) else Image.fromarray(array)
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return write


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, bytes], str]:
    """`save(name, data)`: the path of a file below `tmp_path` that holds them."""

    def write(name: str, data: bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    return write


@pytest.fixture(scope="session")
def class_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 12, 8 and 5 images, each of one brightness, so that a batch shows which images it has."""
    root = tmp_path_factory.mktemp("photos")
    shade = 0
    for name, count in {"cat": 12, "dog": 8, "emu": 5}.items():
        (root / name).mkdir()
        for i in range(count):
            shade += 9
            image = np.full((40 + i, 50, 3), shade, np.uint8)
            image[:, : 5 + i] //= 2
            cv2.imwrite(str(root / name / f"{i}.png"), image)
    return root


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a file system of 700 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)]
    if os.name != "posix" or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system of its own needs root and `mount -t tmpfs`")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # shards are still open
