"""Flipped bits and cut-off files: what the project writes and reads is named when damaged, and never used.

A byte that nobody reads, such as padding, may change unnoticed; then the content is the same.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from resnet_tl.checkpoint import read as read_checkpoint
from resnet_tl.data.images.cache import CacheFormat, ImageCache, open_cache
from resnet_tl.data.listings.listing import Listing
from resnet_tl.errors import UserError
from resnet_tl.models.resnet import resnet
from resnet_tl.structures.records import Batch, Draw, Features
from resnet_tl.tuning.feature_file import FeatureFile, fill, layout_of
from resnet_tl.weights.files import save_weights
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.sources import fetch

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples" / "classification"
SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"

Read = Callable[[Path], Any]
"""Reads everything in a file: dicts, lists and tuples of tensors, arrays and plain Python."""


def image_cache(folder: Path) -> tuple[Path, Read]:
    keys = [f"cat/{path.name}" for path in sorted((SAMPLES / "val/cat").iterdir())[:6]]
    cache = open_cache([Listing.of(str(SAMPLES / "val"), keys, [0] * len(keys))], CacheFormat(16), folder)
    assert cache is not None
    return cache.path, lambda path: [ImageCache(path).get(key) for key in keys]


def feature_cache(folder: Path) -> tuple[Path, Read]:
    features = Features({"c3": torch.rand(6, 4, 5, 5), "c4": torch.rand(6, 8, 3, 3)}, (64, 64), "layer3")
    sizes = torch.full((6, 2), 64)
    batch = Batch(features, torch.zeros(6), sizes, sizes, torch.arange(6))
    path = folder / "a.features"
    with open(path, "wb") as file:
        fill(file, layout_of(features, batch, 6), [(features, batch)])

    def read(path: Path) -> Any:
        taken, rest = FeatureFile(path).take([Draw(0, index) for index in range(6)])
        return taken.maps, taken.input_size, taken.after, rest

    return path, read


def checkpoint(folder: Path) -> tuple[Path, Read]:
    path = folder / "best.ckpt"
    shutil.copyfile(SAVED / "half_run/checkpoints/best.ckpt", path)
    return path, lambda path: vars(read_checkpoint(path))


def weights(folder: Path) -> tuple[Path, Read]:
    path = folder / "w.pth"
    torch.save(resnet("resnet_tiny").state_dict(), path)
    return path, lambda path: dict(fetch(str(path))[0])


def own_weights(folder: Path) -> tuple[Path, Read]:
    path = folder / "w.safetensors"
    record = WeightRecord("?", stated=True, classes=("ant", "bee"), licence="Apache-2.0")
    save_weights(resnet("resnet_tiny").state_dict(), record, path)

    def read(path: Path) -> Any:
        content, record = fetch(str(path))
        return dict(content), vars(replace(record, sha256=None))

    return path, read


FILES = {
    "checkpoint": checkpoint,
    "weights (.pth)": weights,
    "weights (.safetensors)": own_weights,
    "image cache": image_cache,
    "feature cache": feature_cache,
}


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("change", ["flip", "cut"])
@pytest.mark.parametrize("kind", FILES)
def test_damage_is_named_and_nothing_damaged_is_used(kind: str, change: str, count: int, tmp_path: Path) -> None:
    path, read = FILES[kind](tmp_path)
    expected, sentences = read(path), []
    for damaged in _damaged(path.read_bytes(), change, count):
        path.unlink()  # a memory map of the file before it stays as it is
        path.write_bytes(damaged)
        try:
            found = read(path)
        except UserError as error:
            sentences.append(str(error))
        else:
            assert _equal(found, expected), "damaged content was used"
    assert len(sentences) >= 0.8 * count
    assert all(sentence.startswith(f"{path}: ") and "\n" not in sentence for sentence in sentences)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("content", [b"", b"\0", b"resnet_tl", bytes(100), bytes(10_000)])
def test_empty_and_foreign_files_are_one_sentence(kind: str, content: bytes, tmp_path: Path) -> None:
    path, read = FILES[kind](tmp_path)
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^{path}: [^\n]+$"):
        read(path)


def _damaged(whole: bytes, change: str, count: int) -> Iterator[bytes]:
    draw = random.Random(0)
    for _ in range(count):
        at = draw.randrange(len(whole))
        flipped = bytes([whole[at] ^ 1 << draw.randrange(8)])
        yield whole[:at] if change == "cut" else whole[:at] + flipped + whole[at + 1 :]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
