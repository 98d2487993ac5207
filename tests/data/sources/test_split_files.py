"""The split of a file of annotations is in its name."""

from __future__ import annotations

import pytest

from resnet_tl.data.sources.split_files import files_by_split, split_named
from resnet_tl.errors import DataError


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("annotations/instances_val2017.json", "val"),
        ("valid/_annotations.csv", "val"),
        ("validation-annotations-bbox.csv", "val"),
        ("train/more/test_labels.csv", "test"),
        ("training.csv", None),
    ],
)
def test_the_last_word_that_is_a_split_counts(file: str, split: str | None) -> None:
    assert split_named(file) == split


def test_one_file_for_each_split() -> None:
    assert files_by_split("set", ["a/x.csv"], "data.csv") == {"train": "a/x.csv"}
    assert files_by_split("set", ["test.csv", "train.csv"], "data.csv") == {"test": "test.csv", "train": "train.csv"}
    with pytest.raises(
        DataError, match=r"set: no file name contains a split \(a\.csv, b\.csv\); list each .* in data\.csv"
    ):
        files_by_split("set", ["a.csv", "b.csv"], "data.csv")
    with pytest.raises(DataError, match=r"two files for the split val, val\.csv and valid\.csv; list one per split"):
        files_by_split("set", ["val.csv", "valid.csv"], "data.csv")
