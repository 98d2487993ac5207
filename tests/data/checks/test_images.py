"""Images read in processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.data.checks import images
from resnet_tl.data.checks.images import look_at
from resnet_tl.data.listings.listing import Listing
from resnet_tl.errors import RunError


def killed(sample: tuple[str, str, str], channels: int) -> None:
    os._exit(9)


def test_progress_counts_all_images(tmp_path: Path) -> None:
    for number in range(5):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"")
    listing = Listing.of(str(tmp_path), [f"{number}.png" for number in range(5)], [0] * 5)
    counted: list[tuple[int, int]] = []
    looks, unreadable = look_at({"train": listing}, 3, lambda done, total: counted.append((done, total)))
    assert counted == [(done, 5) for done in range(1, 6)]
    assert [look.size for look in looks] == [(30, 40)] * 4
    assert [image.key for image in unreadable] == ["3.png"]


def test_a_killed_process_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_look", killed)
    listing = Listing.of(str(tmp_path), ["a.png"], [0])
    with pytest.raises(RunError, match="was killed, probably for lack of memory, after 0 of 1 images"):
        look_at({"train": listing}, 3, lambda done, total: None)
