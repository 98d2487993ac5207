"""Image folders and zips of them: supported layouts, and the errors for others."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from resnet_tl.data.listings.listing import ClassSet
from resnet_tl.data.sources.folder import read_folder
from resnet_tl.errors import DataError

CLASSES = ("cat/1.jpg", "cat/2.PNG", "dog/1.jpeg", "dog/old/2019/2.webp")


def plant(root: Path, files: Iterable[str]) -> str:
    """A folder with these files (a path that ends in `/` is an empty folder); listing never opens them."""
    for name in files:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(b"")
    return str(root)


def pack(archive: Path, files: Iterable[str]) -> str:
    with zipfile.ZipFile(archive, "w") as file:
        for name in files:
            file.writestr(name, b"")
    return str(archive)


def layout(found: ClassSet) -> dict[str, list[tuple[str, str]]]:
    return {
        split: [(sample.key, found.classes[sample.target]) for sample in listing if isinstance(sample.target, int)]
        for split, listing in found.splits.items()
    }


def under(prefix: str) -> list[str]:
    return [prefix + name for name in CLASSES]


WANT = [("cat/1.jpg", "cat"), ("cat/2.PNG", "cat"), ("dog/1.jpeg", "dog"), ("dog/old/2019/2.webp", "dog")]


def want(prefix: str) -> list[tuple[str, str]]:
    return [(prefix + key, name) for key, name in WANT]


@pytest.mark.parametrize("as_zip", [False, True])
class TestLayouts:
    def read(self, tmp_path: Path, files: Iterable[str], as_zip: bool) -> ClassSet:
        root = pack(tmp_path / "set.zip", files) if as_zip else plant(tmp_path / "set", files)
        return read_folder(root)

    def test_classes_alone(self, tmp_path: Path, as_zip: bool) -> None:
        found = self.read(tmp_path, CLASSES, as_zip)
        assert found.classes == ["cat", "dog"]
        assert layout(found) == {"train": WANT}
        assert found.notes == []
        root = str(tmp_path / ("set.zip" if as_zip else "set"))
        assert found.splits["train"][3].path == f"{root}/dog/old/2019/2.webp"

    @pytest.mark.parametrize("val", ["val", "valid", "validation", "Val", "validation_set", "ds_val"])
    def test_splits(self, tmp_path: Path, as_zip: bool, val: str) -> None:
        found = self.read(tmp_path, [*under("train/"), *under(val + "/"), "test/cat/9.jpg"], as_zip)
        assert layout(found) == {"train": want("train/"), "val": want(val + "/"), "test": [("test/cat/9.jpg", "cat")]}

    @pytest.mark.parametrize("split", ["train", "test", "val"])
    def test_one_split_alone(self, tmp_path: Path, as_zip: bool, split: str) -> None:
        assert layout(self.read(tmp_path, under(split + "/"), as_zip)) == {split: want(split + "/")}

    def test_system_files_are_ignored_and_others_counted(self, tmp_path: Path, as_zip: bool) -> None:
        junk = [".DS_Store", "cat/.hidden.jpg", "cat/Thumbs.db", "__MACOSX/cat/._1.jpg", ".git/x/y.jpg"]
        found = self.read(tmp_path, [*CLASSES, *junk, "cat/notes.txt", "dog/1.cr2", "dog/2.cr2", "cover.jpg"], as_zip)
        assert layout(found) == {"train": WANT}
        root = str(tmp_path / ("set.zip" if as_zip else "set"))
        assert found.notes == [
            f"{root}: skipped files that are not images (.cr2 2, .txt 1)",
            f"{root}: skipped images outside of class folders (1, first cover.jpg)",
        ]

    def test_folders_without_images_next_to_splits_do_not_matter(self, tmp_path: Path, as_zip: bool) -> None:
        found = self.read(tmp_path, [*under("train/"), *under("val/"), "annotations/a.json"], as_zip)
        assert set(found.splits) == {"train", "val"}

    def test_folders_of_images_next_to_two_splits_are_skipped_with_a_note(self, tmp_path: Path, as_zip: bool) -> None:
        found = self.read(tmp_path, [*under("train/"), *under("val/"), "unlabelled/1.jpg"], as_zip)
        assert set(found.splits) == {"train", "val"}
        assert "skipped the folders 'unlabelled' next to the splits 'train', 'val'" in found.notes[0]

    def test_system_folders_next_to_the_classes_do_not_matter(self, tmp_path: Path, as_zip: bool) -> None:
        system = [".ipynb_checkpoints/", "__pycache__/", "__pycache__/x.pyc", "lost+found/", "#recycle/old.jpg"]
        found = self.read(tmp_path, [*CLASSES, *system], as_zip)
        assert (layout(found), found.notes) == ({"train": WANT}, [])

    def test_one_name_may_be_spelled_with_composed_and_decomposed_accents(self, tmp_path: Path, as_zip: bool) -> None:
        composed, decomposed = "caf\u00e9", "cafe\u0301"
        files = [f"train/{composed}/1.jpg", "train/tea/1.jpg", f"val/{decomposed}/2.jpg", "val/tea/2.jpg"]
        found = self.read(tmp_path, files, as_zip)
        assert found.classes == [composed, "tea"]
        assert layout(found)["val"] == [(f"val/{decomposed}/2.jpg", composed), ("val/tea/2.jpg", "tea")]
        known = read_folder(found.root, [decomposed, "tea"])
        assert known.classes == [decomposed, "tea"]
        assert known.splits["train"].class_counts(2).tolist() == [1, 1]

    def test_names_that_are_numbers_are_sorted_as_text_and_noted(self, tmp_path: Path, as_zip: bool) -> None:
        found = self.read(tmp_path, ["1/a.jpg", "2/a.jpg", "10/a.jpg"], as_zip)
        assert found.classes == ["1", "10", "2"]
        assert found.notes == [f"{found.root}: the class names are numbers, and sorted as text: 1, 10, 2"]
        assert read_folder(found.root, ["1", "2", "10"]).notes == []

    def test_numbers_in_order_need_no_note(self, tmp_path: Path, as_zip: bool) -> None:
        assert self.read(tmp_path, ["01/a.jpg", "02/a.jpg", "10/a.jpg"], as_zip).notes == []

    def test_a_test_without_labels_is_skipped_with_a_note(self, tmp_path: Path, as_zip: bool) -> None:
        found = self.read(tmp_path, [*under("train/"), "test/1.jpg", "test/2.jpg"], as_zip)
        assert layout(found) == {"train": want("train/")}
        assert found.notes == [f"{found.root}: skipped test/, which has images (2) but no class folders"]

    def test_a_class_may_be_called_train(self, tmp_path: Path, as_zip: bool) -> None:
        assert self.read(tmp_path, ["bus/1.jpg", "train/1.jpg"], as_zip).classes == ["bus", "train"]


@pytest.mark.parametrize("top", ["photos/", "download/photos/"])
def test_a_zip_may_have_one_folder_around_everything(tmp_path: Path, top: str) -> None:
    root = pack(tmp_path / "set.zip", [top, *under(top + "train/"), *under(top + "val/")])
    found = read_folder(root)
    assert layout(found) == {"train": want("train/"), "val": want("val/")}
    assert found.splits["train"][0].path == f"{root}/{top}train/cat/1.jpg"


def test_a_root_may_be_in_a_zip(tmp_path: Path) -> None:
    root = pack(tmp_path / "set.zip", [*under("a/b/"), "c/1.jpg"])
    found = read_folder(root + "/a/b/")
    assert layout(found) == {"train": WANT}
    assert found.splits["train"][0].path == f"{root}/a/b/cat/1.jpg"
    with pytest.raises(DataError, match=r"set.zip holds no folder 'a/c'"):
        read_folder(root + "/a/c")


def test_keys_do_not_depend_on_where_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path / "a" / "set", CLASSES)
    pack(tmp_path / "set.zip", CLASSES)
    monkeypatch.chdir(tmp_path)
    roots = ["a/set", "a/set/", str(tmp_path / "a/set"), "set.zip"]
    assert len({tuple(read_folder(root).splits["train"].keys()) for root in roots}) == 1


def test_real_folders(shared_data: Path) -> None:
    found = read_folder(str(shared_data / "hymenoptera"))
    assert found.classes == ["ants", "bees"]
    assert {split: listing.class_counts(2).tolist() for split, listing in found.splits.items()} == {
        "train": [124, 121],
        "val": [70, 83],
    }


def test_real_zip(shared_data: Path) -> None:
    found = read_folder(str(shared_data / "cifar10" / "test.zip"))
    assert " ".join(found.classes) == "airplane automobile bird cat deer dog frog horse ship truck"
    assert found.splits["test"].class_counts(10).tolist() == [1000] * 10


class TestErrors:
    """Each is one line that names what is wrong."""

    def refused(self, root: Path | str, says: str, classes: list[str] | None = None) -> None:
        with pytest.raises(DataError) as caught:
            read_folder(str(root), classes)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_no_such_folder(self, tmp_path: Path) -> None:
        plant(tmp_path / "photos", CLASSES)
        self.refused(tmp_path / "phtos", f"{tmp_path}/phtos does not exist; did you mean 'photos'?")
        self.refused(tmp_path / "photos/cat/1.jpg/x", f"does not exist ({tmp_path}/photos/cat/1.jpg is a file)")
        self.refused(tmp_path / "phtos" / "x", f"({tmp_path} has no 'phtos'); did you mean 'photos'?")

    def test_neither_folder_nor_zip(self, tmp_path: Path) -> None:
        (tmp_path / "set.tar.gz").write_bytes(b"x")
        self.refused(tmp_path / "set.tar.gz", "set.tar.gz is a file; expected a folder of images or a .zip of one")
        (tmp_path / "set.zip").write_bytes(b"x")
        self.refused(tmp_path / "set.zip", "set.zip is damaged or not a zip")

    def test_no_images(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "set", ["cat/a.txt", "dog/"])
        self.refused(root, f"{root} holds no images (.txt 1); expected {root}/<class>/*.jpg or ")

    @pytest.mark.parametrize(
        ("files", "empty"), [([*CLASSES, "emu/"], "emu"), ([*under("train/"), "train/emu/notes/a.txt"], "train/emu")]
    )
    def test_empty_class(self, tmp_path: Path, files: list[str], empty: str) -> None:
        root = plant(tmp_path / "set", files)
        self.refused(root, f"the class folder {root}/{empty} holds no images")

    def test_folders_of_another_task_are_not_to_be_filled(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "set", ["JPEGImages/1.jpg", "Annotations/1.xml", "ImageSets/Main/train.txt"])
        self.refused(root, "Annotations holds no images; it holds data for detection")

    def test_splits_in_class_folders(self, tmp_path: Path) -> None:
        files = [f"{name}/{split}/1.jpg" for name in ("cat", "dog") for split in ("train", "val")]
        root = plant(tmp_path / "set", files)
        self.refused(
            root, f"{root} has the splits 'train', 'val' in each of its class folders; expected {root}/<class>"
        )
        assert read_folder(str(plant(tmp_path / "other", [*files, "emu/1.jpg"]))).classes == ["cat", "dog", "emu"]

    def test_one_class(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "set", ["cat/1.jpg"])
        self.refused(root, f"{root} has only one class, 'cat'; expected two or more")
        root = plant(tmp_path / "deep", under("photos/"))
        self.refused(root, "is the root one level deeper?")

    def test_no_class_folders(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "flat", ["1.jpg", "2.jpg"])
        self.refused(root, f"{root} holds images (2) but no class folders; expected {root}/<class>/*.jpg")
        root = plant(tmp_path / "splits", ["train/1.jpg", "val/2.jpg"])
        self.refused(root, f"{root}/train holds images (1) but no class folders; expected {root}/train/<class>/*.jpg")
        root = plant(tmp_path / "half", [*under("train/"), "val/2.jpg"])
        self.refused(root, f"{root}/val holds images (1) but no class folders")

    def test_kinds_of_files_are_not_classes(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "pets", ["images/a_1.jpg", "annotations/trimaps/a_1.png"])
        self.refused(root, "named after kinds of files ('annotations', 'images'), not after classes; expected")
        root = plant(tmp_path / "split", ["train/images/1.jpg", "train/labels/1.jpg"])
        self.refused(root, "it holds data for segmentation (train/labels/1.jpg is the mask of train/images/1.jpg)")
        root = plant(tmp_path / "deep", ["images/cat/1.jpg", "images/dog/2.jpg", "masks/cat/1.png"])
        self.refused(root, "named after kinds of files ('images', 'masks')")

    def test_another_reader_is_named(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "table", ["train/1.jpg"])
        (tmp_path / "table" / "labels.csv").write_text("path,label\ntrain/1.jpg,cat\n")
        self.refused(root, "; --data ImageTable reads it: labels.csv has the columns path and label")

    def test_a_split_next_to_classes(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "set", [*under("train/"), *under("more/")])
        self.refused(root, "holds the split 'train' next to other folders of images ('more')")

    def test_one_split_twice(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "set", [*under("train/"), *under("val/"), *under("valid/")])
        self.refused(root, "holds the same split twice ('train', 'val', 'valid')")

    def test_class_unknown_to_train(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "set", [*under("train/"), *under("val/"), "val/dgo/1.jpg"])
        self.refused(root, "has the class 'dgo' in its val split, but not in train; did you mean 'dog'?")

    def test_classes_that_are_not_the_checkpoints(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "set", under("test/"))
        self.refused(root, "classes ('dog')", ["cat", "emu"])
        self.refused(root, "classes ('cat', 'dog')", ["emu", "gnu"])

    def test_a_checkpoints_classes_give_the_order_and_may_be_more(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "set", under("test/"))
        assert read_folder(root, ["emu", "dog", "cat"]).classes == ["emu", "dog", "cat"]
        assert [sample.target for sample in read_folder(root, ["emu", "dog", "cat"]).splits["test"]] == [2, 2, 1, 1]
        assert read_folder(root, ["dog", "cat"]).classes == ["dog", "cat"]
        assert [sample.target for sample in read_folder(root, ["dog", "cat"]).splits["test"]] == [1, 1, 0, 0]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_no_permission(self, tmp_path: Path) -> None:
        root = plant(tmp_path / "set", CLASSES)
        (tmp_path / "set" / "cat").chmod(0)
        self.refused(root, f"{root}/cat cannot be read: permission denied")
