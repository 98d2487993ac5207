"""Listings that are kept until their files change."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from resnet_tl.data.listings import kept
from resnet_tl.data.listings.faults import kept_faults
from resnet_tl.data.listings.listing import ClassSet
from resnet_tl.data.sources import folder, table
from resnet_tl.data.sources.folder import read_folder
from resnet_tl.data.sources.table import read_table
from resnet_tl.data.sources.tree import walk
from resnet_tl.errors import DataError

FILES = ("train/cat/1.jpg", "train/cat/old/2.jpg", "train/dog/3.jpg", "val/cat/4.jpg", "val/dog/5.jpg", "notes/a.txt")


@pytest.fixture(autouse=True)
def small_and_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LEAST", 1)
    monkeypatch.setattr(kept, "SETTLED", -60.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).touch()
    return tmp_path / "set"


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The roots that are listed."""
    listed: list[str] = []
    monkeypatch.setattr(folder, "walk", lambda root: (listed.append(root), walk(root))[1])
    return listed


def content(found: ClassSet) -> object:
    splits = {split: [*listing] for split, listing in found.splits.items()}
    return found.root, found.classes, splits, found.notes, found.multi_label


def test_what_is_kept_is_what_was_listed(root: Path, tmp_path: Path, walks: list[str]) -> None:
    cache = tmp_path / "cache"
    assert content(read_folder(str(root))) == content(read_folder(str(root), cache=cache))
    assert content(read_folder(str(root))) == content(read_folder(str(root), cache=cache))
    assert len(walks) == 3
    assert content(read_folder(str(root), ["dog", "cat"], cache=cache)) != content(read_folder(str(root), cache=cache))
    assert len(walks) == 4, "other classes are another listing"


def test_a_change_anywhere_below_the_root_is_seen(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def keys() -> list[str]:
        return read_folder(str(root), cache=cache).splits["train"].keys()

    before = keys()
    (root / "train/dog/6.jpg").touch()
    assert keys() == [*before, "train/dog/6.jpg"]
    (root / "train/cat/old/2.jpg").rename(root / "train/cat/old/7.jpg")
    assert keys() == ["train/cat/1.jpg", "train/cat/old/7.jpg", "train/dog/3.jpg", "train/dog/6.jpg"]
    (root / "train/cat/1.jpg").unlink()
    assert len(keys()) == 3
    (root / "train/emu").mkdir()
    with pytest.raises(DataError, match="emu holds no images"):
        keys()
    (root / "train/emu").rmdir()
    assert len(keys()) == 3
    (root / "notes/8.jpg").touch()  # a folder that held no image
    assert any("notes" in note for note in read_folder(str(root), cache=cache).notes)
    (root / "train").rename(root / "training")
    assert keys()[0].startswith("training/")


def test_a_zip_is_listed_again_when_it_is_written_again(root: Path, tmp_path: Path, walks: list[str]) -> None:
    path, cache = tmp_path / "set.zip", tmp_path / "cache"

    def pack(*more: str) -> list[str]:
        with zipfile.ZipFile(path, "w") as archive:
            for name in (*FILES[:5], *more):
                archive.writestr(name, b"")
        return read_folder(str(path), cache=cache).splits["train"].keys()

    first = pack()
    assert read_folder(str(path), cache=cache).splits["train"].keys() == first
    assert len(walks) == 1
    assert len(pack("train/dog/9.jpg")) == len(first) + 1


def test_damage_and_a_folder_that_cannot_be_written_to_cost_only_time(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    expected = content(read_folder(str(root), cache=cache))
    (path,) = cache.iterdir()
    for damaged in (b"", path.read_bytes()[:-40], path.read_bytes().replace(b"1.jpg", b"8.jpg")):
        path.write_bytes(damaged)
        assert content(read_folder(str(root), cache=cache)) == expected
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match=r"\.listing: not written .*; .*set is listed at every start"):
        assert content(read_folder(str(root), cache=tmp_path / "file")) == expected


def test_small_recent_and_faulty_sets_are_not_kept(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setattr(kept, "LEAST", 6)
    read_folder(str(root), cache=cache)
    monkeypatch.setattr(kept, "LEAST", 1)
    monkeypatch.setattr(kept, "SETTLED", 60.0)
    read_folder(str(root), cache=cache)
    monkeypatch.setattr(kept, "SETTLED", -60.0)
    (root / "train/emu").mkdir()
    with kept_faults() as faults:
        read_folder(str(root), cache=cache)
    assert faults
    assert not cache.exists()


def test_a_table_is_read_again_when_it_or_the_folders_of_its_images_change(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, csv, read = tmp_path / "cache", tmp_path / "labels.csv", []
    lines = table.read_lines
    monkeypatch.setattr(table, "read_lines", lambda *names: (read.append(1), lines(*names))[1])
    csv.write_text(
        "path,label,split\ntrain/cat/1.jpg,cat|pet,train\ntrain/dog/3.jpg,dog,train\nval/cat/4.jpg,cat,val\n"
    )

    def found() -> ClassSet:
        return read_table(str(csv), str(root), cache=cache)

    assert content(found()) == content(found())
    assert found().multi_label
    assert len(read) == 1
    (root / "train/cat/old/9.jpg").touch()
    found()
    assert len(read) == 1, "of no concern"
    (root / "train/dog/3.jpg").unlink()
    with pytest.raises(DataError, match="lists 1 images of 3 that do not exist"):
        found()
    csv.write_text("path,label\ntrain/cat/1.jpg,cat\nval/cat/4.jpg,dog\n")
    assert found().classes == ["cat", "dog"]
