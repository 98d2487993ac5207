"""Folders and zips look the same from above."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path

import pytest

from resnet_tl.data.sources import tree
from resnet_tl.data.sources.tree import decisive_paths, is_image, missing, walk
from resnet_tl.errors import DataError

FILES = ("a/b/1.jpg", "a/.hidden/2.jpg", "a/Thumbs.db", "a/b/c/notes.txt", "top.png", "__MACOSX/a/._1.jpg")


@pytest.mark.parametrize("listed_folders", [False, True])
def test_a_folder_and_its_zip_hold_the_same(tmp_path: Path, listed_folders: bool) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in FILES:
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
            archive.write(path, name)
        if listed_folders:
            archive.writestr("a/", b"")
            archive.writestr("a/b/", b"")
    for below, files in {
        "": {"a/b/1.jpg", "a/b/c/notes.txt", "top.png"},
        "/a": {"b/1.jpg", "b/c/notes.txt"},
    }.items():
        plain, packed = walk(f"{tmp_path}/set{below}"), walk(f"{tmp_path}/set.zip{below}")
        assert set(plain.files) == set(packed.files) == files
        assert plain.folders == packed.folders
        assert packed.root == f"{tmp_path}/set.zip{below}"


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "set").mkdir()
    assert walk("~/set/").root == f"{tmp_path}/set"


def test_endings_of_images_in_any_case() -> None:
    assert all(map(is_image, ["a.jpg", "b.JPEG", "c.Tif", "d/e.webp", "f.npy", "g.HEIC"]))
    assert not any(map(is_image, ["jpg", "a.txt", "b.jpg.part", "c.cr2"]))


def test_what_is_missing_is_named_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    assert str(missing("phtos")) == "phtos does not exist; did you mean 'photos'?"
    assert str(missing("phtos/cat")) == "phtos/cat does not exist (. has no 'phtos'); did you mean 'photos'?"
    assert str(missing("photos/cat")) == "photos/cat does not exist"


def test_links_in_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "set" / "cat").mkdir(parents=True)
    link = tmp_path / "set" / "cat" / "up"
    link.symlink_to("..")
    with pytest.raises(DataError, match=r"set/cat/up is a symbolic link to a folder that it lies in; remove it"):
        walk(str(tmp_path / "set"))
    link.unlink()
    link.symlink_to("up")
    with pytest.raises(DataError, match=r"set/cat/up is a symbolic link that leads back to itself; remove it"):
        walk(str(tmp_path / "set"))
    with pytest.raises(DataError, match=r"set/cat/up is a symbolic link that leads nowhere$"):
        walk(str(link))
    link.unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").touch()
    link.symlink_to(tmp_path / "elsewhere")
    assert walk(str(tmp_path / "set")).files == ["cat/up/1.jpg"]


def test_an_empty_name_is_not_the_whole_disk() -> None:
    with pytest.raises(DataError, match="a path is empty; expected a folder"):
        walk("")


def test_a_slow_file_system_is_looked_at_by_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(200):
        (tmp_path / f"{number:03}" / "in").mkdir(parents=True)
        (tmp_path / f"{number:03}" / "in" / "1.jpg").touch()
    fast = walk(str(tmp_path))
    for name in ("PATIENCE", "SLOW"):
        monkeypatch.setattr(tree, name, 0.0)
    monkeypatch.setattr(tree, "REPORTED_EVERY", 0.0)
    seen: set[int] = set()
    scan = tree._scan
    monkeypatch.setattr(tree, "_scan", lambda *each: (seen.add(threading.get_ident()), scan(*each))[1])
    with caplog.at_level("INFO", "resnet_tl"):
        assert walk(str(tmp_path)) == fast
    assert len(fast.files) == 200
    assert len(fast.folders) == 400
    assert len(seen) > 1
    assert f"{tmp_path}: 200 files so far" in caplog.messages
    (tmp_path / "000" / "up").symlink_to("..")
    with pytest.raises(DataError, match="000/up is a symbolic link to a folder that it lies in"):
        walk(str(tmp_path))


def test_what_decides_about_a_listing(tmp_path: Path) -> None:
    (tmp_path / "set" / "a" / "b").mkdir(parents=True)
    found = walk(str(tmp_path / "set"))
    assert decisive_paths(found) == [f"{tmp_path}/set", f"{tmp_path}/set/a", f"{tmp_path}/set/a/b"]
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a/1.jpg", b"")
    assert decisive_paths(walk(f"{tmp_path}/set.zip/a")) == [f"{tmp_path}/set.zip"]
