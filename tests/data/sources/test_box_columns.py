"""The columns of a CSV of boxes."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_tl.data.sources.box_columns import Line, box_numbers, read_box_lines
from resnet_tl.errors import DataError


def write(folder: Path, text: str) -> str:
    (folder / "set.csv").write_text(text)
    return str(folder / "set.csv")


def test_headings_in_letters_of_any_size(tmp_path: Path) -> None:
    table = write(tmp_path, "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\nx,cat,0.1,0.2,0.3,0.4,1\n")
    (line,) = read_box_lines(table)
    assert line.place == f"{table}: line 2"
    expected = {"path": "x", "label": "cat", "x1": "0.1", "y1": "0.3", "x2": "0.2", "y2": "0.4", "crowd": "1"}
    assert line.cells == {**expected, "split": "", "width": "", "height": ""}


def test_a_file_without_a_header_needs_its_columns(tmp_path: Path) -> None:
    table = write(tmp_path, "a.png,1,2,3,4,dog\nb.png,1,2,3,4,dog\n")
    with pytest.raises(
        DataError, match=r"has no header; list its columns in data\.columns, as \[path, x1, y1, x2, y2, l"
    ):
        read_box_lines(table)
    line, _ = read_box_lines(table, ["path", "x1", "y1", "x2", "y2", "class"])
    assert (line.place, line.cells["path"], line.cells["y2"], line.cells["label"]) == (
        f"{table}: line 1",
        "a.png",
        "4",
        "dog",
    )
    with pytest.raises(DataError, match=r"set\.csv has no column 'y2'; did you mean 'y1'\?"):
        read_box_lines(table, ["path", "x1", "y1", "x2", "no", "class"])
    with pytest.raises(DataError, match=r"set\.csv line 1 has 6 cells; expected 2 \(path, label\)"):
        read_box_lines(table, ["path", "label"])


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("a.png,dog,1,2,3,4", "path, label, x1, y1, x2, y2"),
        ("1,2,3,4,dog,a.png", "x1, y1, x2, y2, label, path"),
        ("a.png,1,2,3,4,7", "path, x1, y1, x2, y2, label"),
        ("a.png,40,20,dog,1,2,3,4", "path, x1, y1, x2, y2, label"),
    ],
)
def test_the_columns_that_an_error_suggests_are_those_of_the_line(tmp_path: Path, line: str, columns: str) -> None:
    with pytest.raises(DataError, match=rf"in data\.columns, as \[{columns}\]"):
        read_box_lines(write(tmp_path, f"{line}\n{line}\n"))


def test_the_numbers_of_boxes() -> None:
    lines = [Line("line", dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))) for box in (["0", "one", "", "2.5"],)]
    assert list(box_numbers(lines)) == [0, 2.5]
