"""Detects the form of a folder, zip or table, and so the data module that reads it."""

from __future__ import annotations

import csv
import os
import posixpath
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple
from xml.etree import ElementTree

from resnet_tl.data.images.decode import read_bytes
from resnet_tl.data.sources.class_names import composed
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.folder_names import kinds_of_file, split_of
from resnet_tl.data.sources.mask_layout import find_files
from resnet_tl.data.sources.mask_pairing import pair_up
from resnet_tl.data.sources.parquet import saved_by_datasets
from resnet_tl.data.sources.shards import packed_form
from resnet_tl.data.sources.text_files import read_json, read_xml
from resnet_tl.data.sources.tools import cvat
from resnet_tl.data.sources.tools.tool import TOOLS, is_supervisely, tool_of_json
from resnet_tl.data.sources.tree import Tree, is_image, walk
from resnet_tl.data.sources.web_dataset import is_tars
from resnet_tl.errors import DataError

EXPECTED = {
    "classification": "folders of images named after classes (ImageFolder) or a table of paths and labels (ImageTable)",
    "detection": "COCO (CocoDetection), Pascal VOC (VOCDetection), YOLO (YoloDetection), an annotation tool's export "
    "(ToolDetection) or a CSV of boxes (BoxTable)",
    "regression": "a CSV of paths and numbers (RegressionTable)",
    "segmentation": "images/ and masks/ (MaskFolder), a published set (PascalVOC, Cityscapes), COCO (CocoSegmentation) "
    "or an annotation tool's export (ToolSegmentation)",
}
"""What is looked for, by task."""
PROBED = 40
"""The most files of one ending that are read."""


class Form(NamedTuple):
    """A form of data. module: the data module that reads it. why: the evidence for it.

    table: the CSV that lists the images, which is the module's `csv`; None: the folder or zip itself is its `root`.
    """

    task: str
    module: str
    why: str
    table: str | None = None


def forms_of(root: str, task: str | None = None) -> list[Form]:
    """Returns all forms that the data at `root` may have, the likeliest first; `task` is what the error is about.

    Raises:
        DataError: there is nothing at `root`, or no form that a data module reads.
    """
    if is_tars(root):
        return [Form("classification", "WebDataset", "tars of WebDataset")]
    if packed := packed_form(root):
        return [Form(*packed)]
    if os.path.isfile(root) and not root.endswith(".zip"):
        columns = "is a table without columns of boxes"
        return list(_table_forms(root)) or [Form("classification", "ImageTable", columns, root)]
    tree = walk(root)
    if saved := saved_by_datasets(tree):
        raise DataError(saved)
    if found := list(_forms(tree)):
        return found
    if tars := sorted(filter(is_tars, tree.files)):
        return [Form("classification", "WebDataset", f"{tars[0]} and no other form")]
    expected = ", ".join(EXPECTED.values()) if task is None else EXPECTED[task]
    raise DataError(f"{root}{_content(tree)} has no known form: expected {expected}{_deeper(tree, task)}")


def form_of(root: str, task: str | None = None, suits: Callable[[str], bool] = lambda module: True) -> Form:
    """Returns the form for a task (`classification`, `detection`, `regression`, `segmentation`; None: that of the
    likeliest form that suits).

    Args:
        suits: whether a data module takes the options that are given; asked where several read the data.

    Raises:
        DataError: there is none, or several that suit.
    """
    found = forms_of(root, task)
    task = task or next((form.task for form in found if suits(form.module)), found[0].task)
    fitting = [form for form in found if form.task == task]
    if not fitting:
        raise DataError(
            f"{root} holds data for {found[0].task} ({found[0].why}), not for {task}: expected {EXPECTED[task]}"
        )
    if len(fitting) == 1:
        return fitting[0]
    suiting = [form for form in fitting if suits(form.module)]
    if len(suiting) == 1:
        return suiting[0]
    either = ", or ".join(f"{form.module} ({form.why})" for form in fitting)
    raise DataError(f"{root} can be read in several ways: set data.class_path to {either}")


def other_reader(tree: Tree, current: str) -> str:
    """Returns the end of an error about a folder that `current` cannot read: the data module for an annotation tool's
    export, or else for the endings of the files in it."""
    if tool := next(_tool_forms(tree), None):
        return f"; --data {tool.module} reads it: {tool.why}"
    for ending, module in ((".json", "CocoDetection"), (".xml", "VOCDetection"), (".txt", "YoloDetection")):
        if module != current and any(file.endswith(ending) for file in tree.files):
            return f"; --data {module} reads its {ending} files"
    return ""


def _content(tree: Tree) -> str:
    """Returns what lies in a folder without a known form, as ` (12 images; train.csv with the columns id, breed)`."""
    images = sum(map(is_image, tree.files))
    tables = [file for file in sorted(tree.files) if file.lower().endswith(".csv")][:3]
    columns = [f"{table} with the columns {', '.join(_first_line(f'{tree.root}/{table}')[:8])}" for table in tables]
    return f" ({'; '.join([f'{images} images', *columns])})"


def other_form(tree: Tree, task: str) -> str:
    """Returns the end of an error about a folder that ImageFolder cannot read: what reads it, or a folder in it."""
    forms = [form for form in _forms(tree) if form.module != "ImageFolder"]
    if form := next((form for form in forms if form.task == task), None):
        return f"; --data {form.module} reads it: {form.why}"
    if deeper := _deeper(tree, task):
        return deeper
    return f"; it holds data for {forms[0].task} ({forms[0].why}), read by {forms[0].module}" if forms else ""


def _deeper(tree: Tree, task: str | None) -> str:
    """Returns the end of an error about a folder without a known form: the first folder in it that has one."""
    for top in sorted(folder for folder in tree.folders if "/" not in folder)[:PROBED]:
        files = [file.removeprefix(f"{top}/") for file in tree.files if file.startswith(f"{top}/")]
        folders = {folder.removeprefix(f"{top}/") for folder in tree.folders if folder.startswith(f"{top}/")}
        inside = Tree(f"{tree.root}/{top}", files, folders)
        if form := next((form for form in _forms(inside) if task in (None, form.task)), None):
            return f"; {inside.root} is one for {form.module} ({form.why}): is the root one level deeper?"
    return ""


def _forms(tree: Tree) -> Iterator[Form]:
    yield from _tool_forms(tree)
    yield from _coco_forms(tree)
    yield from _mask_forms(tree)
    yield from _voc_forms(tree)
    yield from _yolo_forms(tree)
    yield from _box_table_forms(tree)
    for file in sorted(tree.files):
        if file.lower().endswith(".csv") and "/" not in file and "classes" not in file:
            yield from _label_table_forms(f"{tree.root}/{file}")
    if parts := sorted(file for file in tree.files if file.lower().endswith(".parquet")):
        table = tree.root if len(parts) > 1 else f"{tree.root}/{parts[0]}"
        yield Form("classification", "ImageTable", f"{parts[0]} is in Parquet", table)
    if folders := _class_folders(tree):
        few = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
        yield Form("classification", "ImageFolder", f"images in folders named {few}")


def _tool_forms(tree: Tree) -> Iterator[Form]:
    if is_supervisely(tree):
        yield from _tool("img/ and ann/ of Supervisely")
    for file, content in _jsons(tree):
        if tool := tool_of_json(content):
            yield from _tool(f"{file} is of {TOOLS[tool].name}")
            return
    for file, root in _xmls(tree):
        if cvat.is_export(root):
            yield from _tool(f"{file} is of CVAT")
            return


def _tool(why: str) -> list[Form]:
    return [Form("detection", "ToolDetection", why), Form("segmentation", "ToolSegmentation", why)]


def _coco_forms(tree: Tree) -> Iterator[Form]:
    for file, content in _jsons(tree):
        if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
            yield Form("detection", "CocoDetection", f"{file} is in COCO's format")
            yield Form("segmentation", "CocoSegmentation", f"{file} is in COCO's format")
            return


def _voc_forms(tree: Tree) -> Iterator[Form]:
    if "ImageSets/Main" in tree.folders:
        yield Form("detection", "VOCDetection", "ImageSets/Main and Annotations")
        return
    for file, root in _xmls(tree):
        if root.tag == "annotation":
            yield Form("detection", "VOCDetection", f"{file} is in Pascal VOC's format")
            return


def _mask_forms(tree: Tree) -> Iterator[Form]:
    if "leftImg8bit" in tree.folders:
        yield Form("segmentation", "Cityscapes", "leftImg8bit/")
        return
    if "ImageSets/Segmentation" in tree.folders:
        yield Form("segmentation", "PascalVOC", "ImageSets/Segmentation")
        return
    findings = Findings(tree.root)
    try:
        splits = pair_up(tree.root, find_files(tree, None, None, findings), findings)
    except DataError:
        return
    if pair := next(chain.from_iterable(splits.values()), None):
        yield Form("segmentation", "MaskFolder", f"{pair[1]} is the mask of {pair[0]}")


def _yolo_forms(tree: Tree) -> Iterator[Form]:
    texts = [file for file in sorted(tree.files) if file.endswith(".txt")]
    for file in texts[:PROBED]:
        words = _text(tree, file).lstrip().partition("\n")[0].split()
        if len(words) >= 5 and words[0].isdecimal() and all(_is_number(word) for word in words[:5]):
            yield Form("detection", "YoloDetection", f"{file} holds YOLO's lines of numbers")
            return


def box_tables(tree: Tree) -> list[str]:
    """Returns the CSVs of boxes in a folder, sorted."""
    tables = sorted(file for file in tree.files if file.lower().endswith(".csv"))[:PROBED]
    return [file for file in tables if _box_columns(f"{tree.root}/{file}")]


def _box_table_forms(tree: Tree) -> Iterator[Form]:
    tables = box_tables(tree)
    if len(tables) == 1:
        yield from _table_forms(f"{tree.root}/{tables[0]}")
    elif tables:
        yield Form("detection", "BoxTable", f"{tables[0]} and other CSVs have columns of boxes", tree.root)


def _table_forms(path: str) -> Iterator[Form]:
    if path.lower().endswith(".parquet"):
        yield Form("classification", "ImageTable", f"{os.path.basename(path)} is in Parquet", path)
    elif why := _box_columns(path):
        yield Form("detection", "BoxTable", f"{os.path.basename(path)} has {why}", path)
    else:
        yield from _label_table_forms(path)


def _label_table_forms(path: str) -> Iterator[Form]:
    if {"path", "label"} <= {name.lower() for name in _first_line(path)}:
        yield Form("classification", "ImageTable", f"{os.path.basename(path)} has the columns path and label", path)


def _box_columns(path: str) -> str:
    """Returns what shows that a CSV holds boxes: its header, or a first line of a path and a box; "" for none."""
    cells = _first_line(path)
    names = {name.lower() for name in cells}
    if {"x1", "y1", "x2", "y2"} <= names or {"xmin", "ymin", "xmax", "ymax"} <= names:
        return "columns of boxes"
    return "lines of a path and a box" if sum(map(_is_number, cells)) in (4, 6) and any(map(is_image, cells)) else ""


def _first_line(path: str) -> list[str]:
    try:
        lines = read_bytes(path, 4096).decode("utf-8-sig", errors="replace").splitlines()
        delimiter = max(",;\t", key=lines[0].count)
        return [cell.strip() for cell in next(csv.reader(lines[:1], delimiter=delimiter, skipinitialspace=True), [])]
    except (DataError, IndexError, csv.Error):
        return []


def _class_folders(tree: Tree) -> list[str]:
    """The folders that hold images, without those of splits above them."""
    tops: set[str] = set()
    for folder in {posixpath.dirname(file) for file in tree.files if is_image(file)}:
        first, _, rest = folder.partition("/")
        tops.add(composed((rest if split_of(first) else folder).partition("/")[0]))
    return sorted(tops - {""}) if len(tops - {""}) > 1 and not kinds_of_file(tops) else []


def _jsons(tree: Tree) -> Iterator[tuple[str, Any]]:
    for file in [file for file in sorted(tree.files) if file.lower().endswith(".json")][:PROBED]:
        try:
            yield file, read_json(f"{tree.root}/{file}")
        except DataError:
            continue


def _xmls(tree: Tree) -> Iterator[tuple[str, ElementTree.Element]]:
    for file in [file for file in sorted(tree.files) if file.lower().endswith(".xml")][:PROBED]:
        try:
            yield file, read_xml(f"{tree.root}/{file}")
        except DataError:
            continue


def _text(tree: Tree, file: str) -> str:
    try:
        return read_bytes(f"{tree.root}/{file}", 4096, allow_empty=True).decode()
    except (DataError, UnicodeDecodeError):
        return ""


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
