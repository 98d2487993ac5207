"""Tables as CSVs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from resnet_tl.errors import RunError
from resnet_tl.run.table_files import write_tables

TABLES = {
    "summary": [{"metric": "acc", "name": "accuracy", "value": 1 / 3, "low": None, "high": 1.0}],
    "per_class": [{"class": "=1+1", "images": 3, "ap": None}, {"class": "a, b", "images": 0, "ap": 0.5}],
}


def test_each_table_is_a_file_of_full_numbers_and_empty_cells(tmp_path: Path) -> None:
    write_tables(TABLES, tmp_path / "new" / "tables")
    folder = tmp_path / "new" / "tables"
    assert sorted(file.name for file in folder.iterdir()) == ["per_class.csv", "summary.csv"]
    summary = (folder / "summary.csv").read_text().splitlines()
    assert summary == ["metric,name,value,low,high", "acc,accuracy,0.3333333333333333,,1.0"]
    rows = list(csv.reader((folder / "per_class.csv").open(newline="")))
    assert rows == [["class", "images", "ap"], ["'=1+1", "3", ""], ["a, b", "0", "0.5"]]


def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="exists and is not overwritten"):
        write_tables(TABLES, tmp_path)
    assert not list(tmp_path.iterdir())
