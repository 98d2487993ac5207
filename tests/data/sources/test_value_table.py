"""CSVs of images and numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.listings.faults import kept_faults
from resnet_tl.data.regression import RegressionTable
from resnet_tl.data.sources.value_table import ValueColumns, read_values
from resnet_tl.errors import DataError, RecipeError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve images, `n.png`; a table to be written."""
    for number in range(12):
        Image.new("RGB", (20, 20), (10 * number, 0, 0)).save(tmp_path / f"{number}.png")
    return tmp_path / "labels.csv"


def write(table: Path, *lines: str) -> str:
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(table)


def test_the_only_other_column_holds_the_numbers(table: Path) -> None:
    found = read_values(write(table, "path;Age", "2.png;3.5", "0.png;-1e3"))
    assert found.classes == ["Age"]
    listing = found.splits["train"]
    assert listing.keys() == ["0.png", "2.png"]
    assert listing.values.tolist() == [[-1000.0], [3.5]]
    assert listing[1].target == (3.5,)


def test_several_columns_splits_and_groups(table: Path) -> None:
    columns = ValueColumns(values=["kg", "age"], group="patient")
    found = read_values(write(table, "patient,age,path,split,kg", "a,1,0.png,train,5", "b,2,1,test,6"), None, columns)
    assert found.classes == ["kg", "age"]
    assert {name: listing.values.tolist() for name, listing in found.splits.items()} == {
        "train": [[5.0, 1.0]],
        "test": [[6.0, 2.0]],
    }
    assert found.groups == {"0.png": "a", "1.png": "b"}


def test_all_faults_of_a_set_are_one_error(table: Path) -> None:
    lines = ["0.png,1,train", "1.png,,train", "2.png,nan,val", "3.png,inf,val", "4.png,1e99,val", "5.png,old,tests"]
    lines += ["none.png,1,train", ",1,train", "0.png,2,train", "http://a/b.png,2,train"]
    with pytest.raises(DataError) as raised:
        read_values(write(table, "path,age,split", *lines)).usable()
    text = str(raised.value)
    assert f"{table} has 10 faults:" in text
    for part in (
        "line 3 has no number in column 'age'",
        "line 4 has 'nan' in column 'age'; expected a finite number, such as 3.5",
        "line 5 has 'inf'",
        "line 6 has '1e99'",
        "line 7 has 'old'",
        "line 7 has the split 'tests'; expected train, val or test",
        "line 8 lists none.png, which does not exist below",
        "line 9 has no path",
        "line 10 lists 0.png again (first in line 2)",
        "line 11 lists the address http://a/b.png",
    ):
        assert part in text


def test_excluded_images_have_no_faults(table: Path) -> None:
    lines = [f"{number}.png,{number}" for number in range(11)]
    text = write(table, "path,age", *lines, "11.png,unknown")
    exclude = table.with_name("exclude.csv")
    exclude.write_text("key\n11.png\n")
    data = RegressionTable(text, exclude=str(exclude), val_fraction=0.5)
    assert {name: len(listing) for name, listing in data.listings.items()} == {"train": 5, "val": 6}
    with kept_faults() as faults:
        assert len(RegressionTable(text).listings["train"]) == 9
    assert list(faults.values()) == ["11.png"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (None, r"data\.value_columns is missing: name the columns .*'\[age, kg\]'; its columns: path, age, kg\)"),
        (["ages"], r"no column 'ages'; did you mean 'age'\? \(columns: path, age, kg; data\.value_columns names"),
        (["age", "age"], r"expected one or more columns, each once"),
        ([], r"expected one or more columns"),
    ],
)
def test_columns_that_cannot_be_told_are_refused(table: Path, columns: list[str] | None, message: str) -> None:
    text = write(table, "path,age,kg", "0.png,1,2")
    with pytest.raises((RecipeError, DataError), match=message):
        read_values(text, None, ValueColumns(values=columns))


def test_the_numbers_of_a_checkpoint_are_found_by_name_or_by_columns(table: Path) -> None:
    text = write(table, "path,age,kg", "0.png,1,2")
    assert read_values(text, names=["kg"]).splits["train"].values.tolist() == [[2.0]]
    renamed = read_values(text, None, ValueColumns(values=["age"]), names=["years"])
    assert (renamed.classes, renamed.splits["train"].values.tolist()) == (["years"], [[1.0]])
    with pytest.raises(RecipeError, match=r"value_columns is missing"):
        read_values(text, names=["years"])
    with pytest.raises(RecipeError, match=r"expected as many as the checkpoint predicts \('years'\)"):
        read_values(text, None, ValueColumns(values=["age", "kg"]), names=["years"])


def test_batches_have_the_numbers_of_their_images(table: Path) -> None:
    text = write(table, "path,age,kg", *(f"{number}.png,{number},{100 * number}" for number in range(12)))
    data = RegressionTable(text, value_columns=["kg", "age"], image_size=16, batch_size=5, num_workers=0, seed=0)
    for batch in (*data.train_dataloader(), *data.val_dataloader()):
        numbers = (batch.images[:, 0].float().amax((1, 2)) / 10).round() if len(batch) else None
        keep = batch.indices >= 0
        assert batch.targets.dtype.is_floating_point
        assert batch.targets[keep].tolist() == [[100 * n, n] for n in numbers[keep].tolist()]
        assert not batch.targets[~keep].any()
    assert data.training_values().shape == (10, 2)


def test_the_split_is_written_with_the_numbers(table: Path, tmp_path: Path) -> None:
    text = write(table, "path,age", *(f"{number}.png,{number / 4}" for number in range(8)))
    data = RegressionTable(text, seed=0)
    data.write_split(tmp_path / "split.csv")
    lines = (tmp_path / "split.csv").read_text().split()
    assert lines[:2] == [
        "key,class,split",
        f"0.png,0,{'val' if '0.png' in set(data.listings['val'].keys()) else 'train'}",
    ]
    assert lines[3].startswith("2.png,0.5,")


def test_other_numbers_are_other_data(table: Path) -> None:
    digests = {
        read_values(write(table, "path,age", f"0.png,{age}")).splits["train"].digest(["age"]) for age in (1, 1.5, 2)
    }
    assert len(digests) == 3
    listing = read_values(write(table, "path,age", "0.png,1", "1.png,2", "3.png,4")).splits["train"]
    parts = listing.select(np.array([2])).join(listing.select(np.array([0])))
    assert parts.values.tolist() == [[4.0], [1.0]]
    assert listing.nbytes < 3 * (len("0.png") + 32)
