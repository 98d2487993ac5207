"""The digest of files' content, and when it is computed again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resnet_tl.data.images import content_digest as module
from resnet_tl.data.images.content_digest import content_digest


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    for name in "ab":
        (tmp_path / name).write_text(name)
    return {name: str(tmp_path / name) for name in "ab"}


def test_keys_and_content_decide(paths: dict[str, str], tmp_path: Path) -> None:
    first = content_digest(paths, tmp_path / "x")
    assert len(first) == 32
    assert content_digest({"a": paths["a"], "c": paths["b"]}, tmp_path / "x") != first
    Path(paths["b"]).write_text("changed")
    assert content_digest(paths, tmp_path / "x") != first
    Path(paths["b"]).write_text("b")
    assert content_digest(paths, tmp_path / "y") == first


def test_unchanged_files_are_read_once(paths: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = content_digest(paths, tmp_path / "x")
    monkeypatch.setattr(module, "read_bytes", lambda path: pytest.fail(f"{path} is read again"))
    assert content_digest(paths, tmp_path / "x") == first
    os.utime(paths["a"], (1, 1))
    with pytest.raises(pytest.fail.Exception):
        content_digest(paths, tmp_path / "x")


def test_a_missing_file_counts_as_empty(paths: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    missing = content_digest({"a": str(tmp_path / "nowhere")}, tmp_path / "x")
    assert missing == content_digest({"a": str(tmp_path / "empty")}, tmp_path / "x")


def test_a_digest_that_was_cut_off_is_computed_again(paths: dict[str, str], tmp_path: Path) -> None:
    first = content_digest(paths, tmp_path / "x")
    next((tmp_path / "x").iterdir()).write_text("")
    assert content_digest(paths, tmp_path / "x") == first
