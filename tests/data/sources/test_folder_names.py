"""Names of folders: splits and kinds of files."""

from __future__ import annotations

import pytest

from resnet_tl.data.sources.folder_names import kinds_of_file, split_of


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        *[("train", "train"), ("Training_Set", "train"), ("ds_train", "train"), ("trainset", "train")],
        *[("valid", "val"), ("validation-data", "val"), ("Test", "test"), ("dataset test", "test")],
        *[("trains", None), ("train_images", None), ("contest", None), ("set", None)],
    ],
)
def test_a_split_is_a_word_with_or_without_set(folder: str, split: str | None) -> None:
    assert split_of(folder) == split


def test_kinds_of_file_are_no_classes() -> None:
    assert kinds_of_file(["images", "annotations"]) == ["annotations", "images"]
    assert kinds_of_file(["imagesTr", "cat"]) == ["imagesTr"]
    assert kinds_of_file(["input", "target"]) == ["input", "target"]
    assert kinds_of_file(["mask", "no_mask"]) == []
    assert kinds_of_file(["target", "decoy"]) == []
