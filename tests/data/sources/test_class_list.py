"""Class files of masks, and the colours of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resnet_tl.data.images.class_masks import NO_CLASS
from resnet_tl.data.sources.class_list import class_colours, find_class_file, palette, read_classes
from resnet_tl.data.sources.tree import Tree
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("name\ncar\ncar\n", "names 2 classes; expected two or more, each name and id once"),
        ("name\ncar\n", "names one class \\('car'\\); expected two or more: the background is a class too"),
        ("name,id\ncar,0\nsky,254\n", "has the id 254; expected 0 to 253"),
        ("title\ncar\nsky\n", "expected the columns id, name, colour"),
        ("name,colour\ncar,#000001\nsky,#000001\n", "has a colour twice"),
        ("name,colour\ncar,red\nsky,\n", "expected the columns id, name, colour"),
    ],
)
def test_a_wrong_class_file_is_one_sentence(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "classes.csv").write_text(content)
    with pytest.raises(DataError, match=complaint):
        read_classes(str(tmp_path / "classes.csv"), [IGNORE])


def test_a_text_file_counts_its_lines_and_a_csv_has_ids_and_colours(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("sky\n\nroad\n")
    plain = read_classes(str(tmp_path / "classes.txt"), [IGNORE])
    assert (plain.names, plain.ids, plain.colours.tolist()) == (["sky", "road"], [0, 1], [[0, 128, 0], [128, 0, 0]])
    (tmp_path / "classes.csv").write_text("id,name,colour\n7,sky,#0a0b0c\n255,void,#ffffff\n9,road,\n")
    coloured = read_classes(str(tmp_path / "classes.csv"), [IGNORE])
    assert (coloured.names, coloured.ids) == (["sky", "road"], [7, 9])
    assert coloured.colours.tolist() == [[10, 11, 12], palette(2)[1].tolist()]
    assert coloured.by_colour == {0x0A0B0C: 7, 0xFFFFFF: IGNORE}


@pytest.mark.parametrize(
    ("name", "content", "names", "ids", "colours"),
    [
        ("_classes.csv", "Pixel Value, Class\n0, bg\n3, cat\n", ["bg", "cat"], [0, 3], {}),
        ("class_dict.csv", "name,r,g,b\nsky,0,0,255\ncar,255,0,1\n", ["sky", "car"], [0, 1], {0xFF: 0, 0xFF0001: 1}),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nbg:0,0,0::\ncat:250,50,83::\n", ["bg", "cat"], [0, 1],
         {0: 0, 0xFA3253: 1}),
        ("class_names.txt", "_background_\ncat\n", ["_background_", "cat"], [0, 1], {}),
    ],
)  # fmt: skip
def test_class_files_of_tools(
    tmp_path: Path, name: str, content: str, names: list[str], ids: list[int], colours: dict[int, int]
) -> None:
    (tmp_path / name).write_text(content)
    found = read_classes(str(tmp_path / name), [IGNORE])
    assert (found.names, found.ids, found.by_colour, found.palettes) == (names, ids, colours, name == "labelmap.txt")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("labelmap.txt", "bg:0,0,0::\ncat\n", "has the line 'cat'; expected label:r,g,b:parts:actions"),
        ("labelmap.txt", "bg:0,0,0::\ncat:300,0,0::\n", "expected the columns id, name, colour"),
        ("class_dict.csv", "name,r,g,b\nsky,0,0,x\ncar,1,1,1\n", "expected the columns id, name, colour"),
        ("classes.csv", "name,colour\nsky,#0000001\ncar,\n", "expected the columns id, name, colour"),
    ],
)
def test_wrong_class_files_of_tools(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=complaint):
        read_classes(str(tmp_path / name), [IGNORE])


def test_the_class_file_nearest_to_the_root_counts() -> None:
    files = ["a/classes.txt", "b/classes.csv", "notes/labels.txt"]
    assert find_class_file(Tree("set", files, set())) == "set/b/classes.csv"
    assert find_class_file(Tree("set", [*files, "labelmap.txt"], set())) == "set/labelmap.txt"
    assert find_class_file(Tree("set", ["a.jpg"], set())) is None


def test_values_map_to_classes(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("id,name\n7,sky\n9,road\n")
    classes = read_classes(str(tmp_path / "classes.csv"), [IGNORE])
    assert classes.coding([3]).codes[[0, 3, 7, 9]].tolist() == [NO_CLASS, IGNORE, 0, 1]
    assert classes.select([9, 7]).coding([]).codes[[7, 9]].tolist() == [1, 0]
    assert classes.coding([], others=IGNORE).codes[[0, 3, 7, 9]].tolist() == [IGNORE, IGNORE, 0, 1]


@pytest.mark.parametrize(("first", "black"), [("Background", True), ("_void_", True), ("0", True), ("road", False)])
def test_black_is_the_backgrounds_colour_alone(first: str, black: bool) -> None:
    colours = class_colours([first, "b", "c"])
    assert (colours[0].max() == 0) == black
    assert colours[1:].tolist() == palette(3)[1:].tolist()
    assert len(np.unique(colours, axis=0)) == 3


def test_the_palette_is_pascal_vocs() -> None:
    assert palette(4).tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert palette(21)[20].tolist() == [0, 64, 128]
