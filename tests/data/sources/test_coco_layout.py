"""Where the json files and images of a set in COCO's format are."""

from __future__ import annotations

import pytest

from resnet_tl.data.sources.coco_layout import annotation_files, image_folder, joined
from resnet_tl.data.sources.tree import Tree
from resnet_tl.errors import DataError


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["a/instances_train2017.json", "a/captions_train2017.json"], {"train": "a/instances_train2017.json"}),
        (["train/_annotations.coco.json", "valid/_annotations.coco.json"],
         {"train": "train/_annotations.coco.json", "val": "valid/_annotations.coco.json"}),
        (["labels.json", "readme.txt"], {"train": "labels.json"}),
    ],
)  # fmt: skip
def test_the_split_is_in_the_name_of_a_file_or_folder(files: list[str], found: dict[str, str]) -> None:
    assert annotation_files(Tree("set", files, set())) == found


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"set holds no \.json"),
        (["one.json", "two.json"], r"no file name contains a split \(one.json, two.json\)"),
        (["train.json", "a/train.json"], "two files for the split train, a/train.json and train.json"),
    ],
)
def test_other_files_are_an_error(files: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        annotation_files(Tree("set", files, set()))


def test_images_are_in_the_folder_with_most_of_their_names() -> None:
    tree = Tree("set", ["train/1.jpg", "val/1.jpg", "val/2.jpg", "a.json"], {"train", "val"})
    one, both = [{"file_name": "1.jpg"}], [{"file_name": "1.jpg"}, {"file_name": "2.jpg"}]
    assert image_folder(tree, "train", "a.json", both) == "val"
    assert image_folder(tree, "train", "a.json", one) == "train", "of several, the split's"
    assert image_folder(tree, "train", "val/a.json", one) == "val", "or first of all the json's own"
    assert joined("val", "..\\train\\1.jpg") == "train/1.jpg"
