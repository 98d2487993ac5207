"""YOLO's labels: a text file per image, with a line per object: class and box or polygon, in fractions of the image."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from resnet_tl.data.images.decode import read_bytes
from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.sources.annotations import BoxListingBuilder, box_set, in_order_of
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.folder import SPLITS
from resnet_tl.data.sources.forms import other_reader
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.data.sources.tree import Tree, is_image, walk
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import Polygon

FAR = 2.0
"""Larger numbers cannot be fractions of an image, but pixels."""
NAME_FILES = ("classes.txt", "obj.names", "labels/classes.txt")


def read_yolo(root: str, data: str | None = None, classes: Sequence[str] | None = None, channels: int = 3) -> BoxSet:
    """Reads `root/images/{train,val}/*.jpg` with `root/labels/{train,val}/*.txt`, or
    `root/{train,val}/{images,labels}/`, or labels next to their images.

    Args:
        root: that folder.
        data: the YAML below `root` with `names` and the folders of the splits; None: the first YAML that has `names`
            (such as `data.yaml`), or `classes.txt` with a name per line and the folders above.
        classes: class names of a checkpoint, which the set's must equal; None: the set's own, in their order.
        channels: of the images.

    A line is `class x y w h` (centre and size of the box) or `class x1 y1 x2 y2 x3 y3 ...` (a polygon). An image
    without a label file has no objects. The number of a class is its code.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    tree = walk(root)
    findings = Findings(tree.root)
    names, folders = _read_description(tree, data)
    order, codes = in_order_of(tree.root, names, list(range(len(names))), classes)
    builders = {}
    for split, images in _images(tree, folders, findings).items():
        entries = [Entry(key, None, f"{tree.root}/{key}") for key in images]
        builders[split] = BoxListingBuilder(entries, order, channels, findings)
        index = {code: i for i, code in enumerate(codes)}
        _add_labels(tree, builders[split], index, findings)
    return box_set(findings, builders, order, codes)


def _add_labels(tree: Tree, builder: BoxListingBuilder, index: Mapping[int, int], findings: Findings) -> None:
    existing, read, unlabelled = set(tree.files), set(), []
    for row, entry in enumerate(builder.entries):
        file = next((path for path in _label_files(entry.key) if path in existing), None)
        if file is None:
            unlabelled.append(entry.key)
            continue
        if file in read:
            findings.faults.append(f"{tree.root}/{file}: is the label file of two images, one of them {entry.key}")
        read.add(file)
        path = f"{tree.root}/{file}"
        findings.images[path] = entry.key
        for number, line in enumerate(_lines(path, findings), 1):
            try:
                label, box, polygon = _parsed(line, builder.file_size(row))
            except ValueError as error:
                findings.faults.append(f"{path}: line {number} {error}")
                continue
            if label not in index:
                findings.faults.append(f"{path}: line {number} has the class {label}; expected 0 to {len(index) - 1}")
            place = f"line {number}"
            if polygon is None:
                builder.add(row, index.get(label), box, place)
            else:
                builder.add(row, index.get(label), box, place, area=_area(polygon), mask=[polygon])
    findings.note(
        "images without a label file, taken to have no objects", unlabelled, "missing partner", "has no label file"
    )
    orphans = {file for file in existing - read if _may_be_labels(file, read)}
    findings.faults += [f"{tree.root}/{file}: is a label file without an image" for file in sorted(orphans)]


def _parsed(line: str, size: tuple[int, int]) -> tuple[int, list[float], Polygon | None]:
    """Returns class, box and polygon of a line, in pixels of an image of `size` (h, w)."""
    first, *rest = line.split()
    try:
        label, values = float(first), [float(text) for text in rest]
    except ValueError:
        raise ValueError(f"is {line[:60]!r}; expected numbers") from None
    if not label.is_integer():
        raise ValueError(f"has the class {first}; expected a whole number")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(f"has {len(values)} numbers after the class; expected 4, or x and y of 3 corners or more")
    if far := [value for value in values if abs(value) > FAR]:
        raise ValueError(f"has the number {far[0]:g}; expected fractions of the image, 0 to 1")
    scale = np.array([size[1], size[0]], np.float64)
    points = np.array(values).reshape(-1, 2) * scale
    if len(values) == 4:
        centre, half = points[0], points[1] / 2
        return int(label), [*(centre - half), *(centre + half)], None
    if not np.isfinite(points).all():
        raise ValueError("has a corner that is not a finite number")
    return int(label), [*points.min(0), *points.max(0)], points.astype(np.float32)


def _area(polygon: Polygon) -> float:
    x, y = polygon.astype(np.float64).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _lines(path: str, findings: Findings) -> list[str]:
    """Returns the lines of a file that are not blank. An empty file belongs to an image without objects."""
    try:
        return [line for line in read_bytes(path, allow_empty=True).decode().splitlines() if line.strip()]
    except DataError as error:
        findings.faults.append(str(error))
    except UnicodeDecodeError:
        findings.faults.append(f"{path}: is not text")
    return []


def _label_files(key: str) -> Iterable[str]:
    """Yields where the labels of an image may be: in `labels/` in place of `images/`, or next to it."""
    before, separator, after = f"/{key}".rpartition("/images/")
    stem = posixpath.splitext(key)[0]
    if separator:
        yield f"{before}/labels/{posixpath.splitext(after)[0]}.txt".lstrip("/")
    yield f"{stem}.txt"


def _may_be_labels(file: str, read: set[str]) -> bool:
    folder, name = posixpath.split(file)
    others = {*NAME_FILES, *(f"{split}.txt" for split in SPLITS)}
    return name.endswith(".txt") and name not in others and folder in {posixpath.dirname(path) for path in read}


def _read_description(tree: Tree, data: str | None) -> tuple[list[str], dict[str, Any]]:
    """Returns the class names and, where a YAML gives them, the paths of each split's images."""
    yamls = [data] if data is not None else sorted(file for file in tree.files if file.endswith((".yaml", ".yml")))
    for file in yamls:
        description = _yaml(f"{tree.root}/{file}")
        if "names" in description:
            return _names(f"{tree.root}/{file}", description["names"]), _folders(file, description)
        if data is not None:
            raise DataError(f"{tree.root}/{file}: has no names; expected the class names")
    for file in NAME_FILES:
        if file in tree.files:
            lines = read_bytes(f"{tree.root}/{file}").decode("utf-8-sig").splitlines()
            return [line.strip() for line in lines if line.strip()], {}
    raise DataError(
        f"{tree.root} has neither a data.yaml with names nor classes.txt; expected the class names in one of them"
        f"{other_reader(tree, 'YoloDetection')}"
    )


def _yaml(path: str) -> dict[str, Any]:
    try:
        description = yaml.safe_load(read_bytes(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not valid YAML ({' '.join(str(error).split())})") from None
    return description if isinstance(description, dict) else {}


def _names(path: str, names: Any) -> list[str]:
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names):
        raise DataError(f"{path}: names is {str(names)[:80]}; expected a list of names, or a name for 0, 1, 2 ...")
    return [str(name) for name in names]


def _folders(file: str, description: dict[str, Any]) -> dict[str, list[str]]:
    """Returns the paths that a YAML gives for each split, joined to its `path`."""
    base = posixpath.join(posixpath.dirname(file), str(description.get("path") or ""))
    folders = {}
    for word, split in SPLITS.items():
        if paths := description.get(word):
            paths = paths if isinstance(paths, list) else [paths]
            folders[split] = [posixpath.join(base, str(path)) for path in paths]
    return folders


def _images(tree: Tree, folders: dict[str, list[str]], findings: Findings) -> dict[str, list[str]]:
    """Returns the images of each split, below the root."""
    images = sorted(filter(is_image, tree.files))
    if not folders:
        return _by_folder(tree, images)
    found: dict[str, list[str]] = {}
    for split, paths in folders.items():
        chosen: set[str] = set()
        for path in paths:
            local = _locate(tree, path)
            if local is None:
                findings.faults.append(f"{tree.root}: the {split} images are in {path}, which does not exist")
            elif local in tree.folders or not local:
                prefix = f"{local}/" if local else ""
                chosen.update(file for file in images if file.startswith(prefix))
            else:
                chosen.update(_from_list(tree, local, findings))
        found[split] = sorted(chosen)
    return found


def _locate(tree: Tree, path: str) -> str | None:
    """Returns where a path of the YAML, perhaps from another machine, is below the root: its longest existing end."""
    parts = [part for part in posixpath.normpath(path).split("/") if part not in ("", ".", "..")]
    ends = ("/".join(parts[start:]) for start in range(max(1, len(parts))))
    return next((end for end in ends if not end or end in tree.folders or end in tree.files), None)


def _from_list(tree: Tree, file: str, findings: Findings) -> list[str]:
    """Returns the images that a text file lists, one per line."""
    images = []
    for line in _lines(f"{tree.root}/{file}", findings):
        local = _locate(tree, line.strip())
        if local is None:
            findings.faults.append(f"{tree.root}/{file}: lists {line.strip()}, which does not exist")
        else:
            images.append(local)
    return images


def _by_folder(tree: Tree, images: list[str]) -> dict[str, list[str]]:
    """Returns the images by the split in the name of one of their folders; `train` where there is none."""
    by_split: dict[str, list[str]] = {}
    for image in images:
        words = [SPLITS[name.lower()] for name in posixpath.dirname(image).split("/") if name.lower() in SPLITS]
        by_split.setdefault(words[0] if words else "train", []).append(image)
    if not by_split:
        raise DataError(f"{tree.root} holds no images; expected {tree.root}/images/{{train,val}}/*.jpg")
    return by_split
