"""What is noticed of files that are gone, new or changed, and what is not mistaken for a change."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from resnet_tl.data.listings import recorded
from resnet_tl.data.listings.recorded import SplitFiles, changes, record

NAMES = [f"cat/{number}.jpg" for number in range(5)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * 100)
        os.utime(path, ns=(0, 10**18 + number))
    return tmp_path / "set"


def listed(root: Path, labels: str = "a") -> dict[str, SplitFiles]:
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    paths = {name: str(root / name) for name in files}
    val = dict([paths.popitem()])
    return {"train": SplitFiles(labels, paths), "val": SplitFiles("b", val)}


def rewrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(0, 10**18 - 1))


def test_what_is_gone_new_renamed_or_changed_is_named(root: Path) -> None:
    before = record(listed(root))
    assert changes(before, listed(root)) is None
    (root / NAMES[1]).unlink()
    assert changes(before, listed(root)) == "train: 1 file is gone (cat/1.jpg)"
    (root / NAMES[0]).rename(root / "cat/00.jpg")
    assert changes(before, listed(root)) == "train: 2 files are gone (cat/0.jpg, ...), 1 file is new (cat/00.jpg)"


@pytest.mark.parametrize("content", [b"x" * 100, b"x" * 99, b""])
def test_another_content_is_noticed(root: Path, content: bytes) -> None:
    before = record(listed(root))
    rewrite(root / NAMES[2], content)
    assert changes(before, listed(root)) == "train: 1 file has another content (cat/2.jpg)"


def test_another_order_or_other_labels_are_noticed(root: Path) -> None:
    assert changes(record(listed(root)), listed(root, "other")) == "train: classes, labels or their order are others"


def test_a_split_that_is_gone_or_new_is_named(root: Path) -> None:
    splits = listed(root)
    train = {"train": splits["train"]}
    assert changes(record(splits), train) == "val: 1 file is gone (cat/4.jpg)"
    assert changes(record(train), splits) == "val: 1 file is new (cat/4.jpg)"


def test_a_copy_is_the_same_set(root: Path, tmp_path: Path) -> None:
    before = record(listed(root))
    copy = Path(shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile))
    assert changes(before, listed(copy)) is None
    rewrite(copy / NAMES[3], b"x" * 100)
    assert changes(before, listed(copy)) == "train: 1 file has another content (cat/3.jpg)"


def test_the_files_of_a_large_set_are_compared_by_a_sample(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "BUDGET", 250)
    before = record(listed(root))
    read = {key for each in before.values() for key, file in each.files.items() if file.crc is not None}
    assert len(read) == 2
    copy = Path(shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile))
    assert changes(before, listed(copy)) is None  # all times differ, and the sample is the same
    unread = next(key for key in before["train"].files if key not in read)
    rewrite(root / unread, b"x" * 100)
    assert changes(before, listed(root)) == f"train: 1 file has another content ({unread})"  # only one time differs


def test_members_of_a_zip_are_compared_by_its_directory(root: Path, tmp_path: Path) -> None:
    def packed(name: str) -> dict[str, SplitFiles]:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for path in sorted(root.rglob("*.jpg")):
                archive.write(path, path.relative_to(root))
        return {"train": SplitFiles("a", {key: f"{tmp_path / name}/{key}" for key in NAMES})}

    before = record(packed("a.zip"))
    assert changes(before, packed("b.zip")) is None
    rewrite(root / NAMES[2], b"x" * 100)
    assert changes(before, packed("c.zip")) == "train: 1 file has another content (cat/2.jpg)"


def test_few_files_of_many_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MOST_READ", 3)
    files = [file for each in record(listed(root)).values() for file in each.files.values()]
    assert sum(file.crc is not None for file in files) == 3
