"""What identifies images that are the same in every epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resnet_tl.data.loading.fixed_images import FixedImages


@pytest.fixture
def images(tmp_path: Path) -> FixedImages:
    for name in "ab":
        (tmp_path / name).write_text(name)
    files = {name: str(tmp_path / name) for name in "ab"}
    return FixedImages("photos-train", 2, files, {"size": 32}, lambda view: [], tmp_path / "cache")  # type: ignore[arg-type, return-value]


def test_the_key_is_of_content_and_processing_but_not_of_names_and_folders(images: FixedImages, tmp_path: Path) -> None:
    def changed(**fields: Any) -> str:
        return FixedImages(**{**vars(images), **fields}).key()

    assert len(images) == 2
    assert changed(name="other", folder=tmp_path / "elsewhere") == images.key()
    assert changed(processing={"size": 33}) != images.key()
    assert changed(files={"a": images.files["a"]}) != images.key()
    before = images.key()
    (tmp_path / "a").write_text("changed")
    assert images.key() != before
