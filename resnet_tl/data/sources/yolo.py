"""YOLO's labels: a text file per image, with a line per object: class and box or polygon, in fractions of the image."""

from __future__ import annotations

import posixpath
import reprlib
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.sources.annotations import BoxListingBuilder, box_set, split_in
from resnet_tl.data.sources.empty_val import refuse_empty_val
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.folder_names import SPLITS
from resnet_tl.data.sources.forms import other_reader
from resnet_tl.data.sources.image_finder import canonical
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.data.sources.text_files import read_text, read_yaml
from resnet_tl.data.sources.tree import Tree, is_image, walk
from resnet_tl.data.sources.yolo_labels import LabelReader, read_lines_of
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Code

NAME_FILES = ("classes.txt", "obj.names", "labels/classes.txt")
ROBOFLOW_NAMES = "_darknet.labels"
"""The file of class names next to the images of each split, as Roboflow exports for darknet."""


class Description(NamedTuple):
    """What a set's YAML, or darknet's `obj.data`, gives.

    folders: paths of the images of each split, which `file` gives. keypoints: numbers of each object's keypoints, which
    follow its box.
    """

    names: list[str]
    folders: dict[str, list[str]]
    file: str = ""
    keypoints: int = 0


def read_yolo(
    root: str,
    data: str | None = None,
    classes: Sequence[str] | None = None,
    channels: int = 3,
    *,
    keep_empty: bool = False,
) -> BoxSet:
    """Reads `root/images/{train,val}/*.jpg` with `root/labels/{train,val}/*.txt`, or
    `root/{train,val}/{images,labels}/`, or labels next to their images.

    Args:
        root: that folder.
        data: the YAML below `root` with `names` and the folders of the splits; None: the first YAML that has `names`
            (such as `data.yaml`), or darknet's `obj.data`, or `classes.txt` with a name per line and the folders above.
        classes: class names of a checkpoint, which the set's must equal; None: the set's own, in their order.
        channels: of the images.
        keep_empty: keep classes without an object in any split; see `box_set`.

    For the lines see `LabelReader`. An image without a label file has no objects. The number of a class is its code.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    tree = walk(root)
    findings = Findings(tree.root)
    description = _read_description(tree, data)
    names, builders = description.names, {}
    paths: dict[str, list[str | None]] = {}
    by_split = _images(tree, description, findings)
    refuse_empty_val(tree, [split for split, images in by_split.items() if images], tree.files)
    for split, images in by_split.items():
        entries = [Entry(key, None, f"{tree.root}/{key}") for key in images]
        builders[split] = BoxListingBuilder(entries, names, channels, findings)
        paths[split] = _label_files(tree, images, findings)
    files = [file for files in paths.values() for file in files if file is not None]
    reader = LabelReader(tree.root, files, len(names), description.keypoints, findings)
    for split, builder in builders.items():
        for row, file in enumerate(paths[split]):
            if file is not None:
                findings.images[f"{tree.root}/{file}"] = builder.entries[row].key
                reader.read(builder, row, file)
    reader.note()
    folders = {posixpath.dirname(file) for file in files}
    orphans = [file for file in set(tree.files).difference(files) if _may_be_labels(file, folders)]
    findings.faults += [f"{tree.root}/{file}: is a label file without an image" for file in sorted(orphans)]
    codes: list[Code] = [*range(len(names))]
    return box_set(findings, builders, names, codes, known=classes, keep_empty=keep_empty)


def _label_files(tree: Tree, images: Sequence[str], findings: Findings) -> list[str | None]:
    """Returns the label file of each image, below the root; None where it has none."""
    files: list[str | None] = []
    existing = {canonical(file): file for file in tree.files} | {file: file for file in tree.files}
    owners: dict[str, str] = {}
    for key in images:
        file = _label_file(key, existing)
        if file is not None and owners.setdefault(file, key) != key:
            findings.faults.append(f"{tree.root}/{file}: is the label file of two images, one of them {key}")
        files.append(file)
    unlabelled = [key for key, file in zip(images, files, strict=True) if file is None]
    findings.note(
        "images without a label file, taken to have no objects", unlabelled, "missing partner", "has no label file"
    )
    return files


def _label_file(key: str, existing: dict[str, str]) -> str | None:
    found = (existing.get(path) or existing.get(canonical(path)) for path in _candidates(key))
    return next(filter(None, found), None)


def _candidates(key: str) -> Iterable[str]:
    """Yields where the labels of an image may be: in `labels/` in place of `images/`, or next to it."""
    before, separator, after = f"/{key}".rpartition("/images/")
    stem = posixpath.splitext(key)[0]
    if separator:
        yield f"{before}/labels/{posixpath.splitext(after)[0]}.txt".lstrip("/")
    yield f"{stem}.txt"


def _may_be_labels(file: str, folders: set[str]) -> bool:
    """Whether a file is text in one of the folders of labels, and neither a list of classes nor of a split."""
    folder, name = posixpath.split(file)
    others = {*NAME_FILES, *(f"{split}.txt" for split in SPLITS)}
    return name.endswith(".txt") and name not in others and folder in folders


def _read_description(tree: Tree, data: str | None) -> Description:
    yamls = [data] if data is not None else sorted(file for file in tree.files if file.endswith((".yaml", ".yml")))
    for file in yamls:
        path = f"{tree.root}/{file}"
        content = read_yaml(path)
        if "names" in content:
            names = _names(path, content["names"])
            return Description(names, _folders(path, file, content), file, _keypoints(path, content.get("kpt_shape")))
        if data is not None:
            raise DataError(f"{path}: has no names; expected the class names")
    exported = sorted(file for file in tree.files if posixpath.basename(file) == ROBOFLOW_NAMES)
    for file in (*NAME_FILES, *exported):
        if file in tree.files:
            lines = read_text(f"{tree.root}/{file}").splitlines()
            return Description([line.strip() for line in lines if line.strip()], _darknet_folders(tree), "obj.data")
    raise DataError(
        f"{tree.root} has neither a data.yaml with names nor classes.txt; expected the class names in one of them"
        f"{other_reader(tree, 'YoloDetection')}"
    )


def _darknet_folders(tree: Tree) -> dict[str, list[str]]:
    """Returns the lists of images that `obj.data` names, as `train = data/train.txt`."""
    if "obj.data" not in tree.files:
        return {}
    pairs = (line.split("=", 1) for line in read_text(f"{tree.root}/obj.data").splitlines() if "=" in line)
    values = {key.strip(): value.strip() for key, value in pairs}
    return {split: [values[word]] for word, split in SPLITS.items() if word in values}


def _keypoints(path: str, shape: Any) -> int:
    """Returns how many numbers the keypoints of an object have, from their shape (points, numbers of each)."""
    if shape is None:
        return 0
    if not isinstance(shape, list) or len(shape) != 2 or not all(isinstance(n, int) and 0 < n < 1000 for n in shape):
        raise DataError(f"{path}: kpt_shape is {reprlib.repr(shape)[:80]}; expected two numbers, as [17, 3]")
    return shape[0] * shape[1]


def _names(path: str, names: Any) -> list[str]:
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    plain = isinstance(names, list) and all(isinstance(name, str | int | float) for name in names)
    if not plain or not names or len(set(map(str, names))) < len(names):
        # reprlib: aliases in a YAML can multiply to more text than memory holds.
        raise DataError(
            f"{path}: names is {reprlib.repr(names)[:80]}; expected a list of names, or a name for 0, 1, 2 ..."
        )
    return [str(name) for name in names]


def _folders(path: str, file: str, description: dict[str, Any]) -> dict[str, list[str]]:
    """Returns the paths that a YAML gives for each split, joined to its `path`."""
    folders = {}
    for word, split in SPLITS.items():
        if paths := description.get(word):
            paths = paths if isinstance(paths, list) else [paths]
            if not all(isinstance(each, str) for each in paths):
                raise DataError(f"{path}: {word} is {reprlib.repr(paths)[:80]}; expected a folder, or a list of them")
            base = description.get("path") or ""
            base = posixpath.join(posixpath.dirname(file), base if isinstance(base, str) else "")
            folders[split] = [posixpath.join(base, each).replace("\\", "/") for each in paths]
    return folders


def _images(tree: Tree, description: Description, findings: Findings) -> dict[str, list[str]]:
    """Returns the images of each split, below the root. A test split that does not exist is only noted."""
    images = sorted(filter(is_image, tree.files))
    if not description.folders:
        return _by_folder(tree, images)
    found: dict[str, list[str]] = {}
    for split, paths in description.folders.items():
        chosen: set[str] = set()
        for path in paths:
            local = _locate(tree, path, posixpath.dirname(description.file))
            if local is None:
                sentences = findings.notes if split == "test" else findings.faults
                sentences.append(f"{tree.root}: the {split} images are in {path}, which does not exist")
            elif local in tree.folders or not local:
                prefix = f"{local}/" if local else ""
                chosen.update(file for file in images if file.startswith(prefix))
            else:
                chosen.update(_from_list(tree, local, findings))
        if chosen or split != "test":
            found[split] = sorted(chosen)
    return found | _unnamed(tree, images, found, description.file, findings)


def _unnamed(
    tree: Tree, images: list[str], named: dict[str, list[str]], file: str, findings: Findings
) -> dict[str, list[str]]:
    """Returns the images of splits that only their folders name, where they have labels."""
    existing = {canonical(file): file for file in tree.files}
    used = set(chain.from_iterable(named.values()))
    found: dict[str, list[str]] = {}
    for image in images:
        split = split_in(image, otherwise="")
        if split and split not in named and image not in used:
            found.setdefault(split, []).append(image)
    found = {split: keys for split, keys in found.items() if any(_label_file(key, existing) for key in keys)}
    findings.notes += [
        f"{tree.root}/{file}: names no {split} images; those in {posixpath.dirname(keys[0])} are used ({len(keys)})"
        for split, keys in found.items()
    ]
    return found


def _locate(tree: Tree, path: str, folder: str) -> str | None:
    """Returns where a path in a file in `folder`, perhaps from another machine, is below the root.

    It is the longest existing end of the path, below the root or below that folder.
    """
    parts = [part for part in posixpath.normpath(path).split("/") if part not in ("", ".", "..")]
    ends = ("/".join(parts[start:]) for start in range(max(1, len(parts))))
    places = (place for end in ends for place in (end, posixpath.join(folder, end)))
    return next((place for place in places if not place or place in tree.folders or place in tree.files), None)


def _from_list(tree: Tree, file: str, findings: Findings) -> list[str]:
    """Returns the images that a text file lists, one per line."""
    images = []
    for line in read_lines_of(f"{tree.root}/{file}", findings):
        local = _locate(tree, line.strip().replace("\\", "/"), posixpath.dirname(file))
        if local is None:
            findings.faults.append(f"{tree.root}/{file}: lists {line.strip()}, which does not exist")
        else:
            images.append(local)
    return images


def _by_folder(tree: Tree, images: list[str]) -> dict[str, list[str]]:
    """Returns the images by the split in the name of one of their folders; `train` where there is none."""
    by_split: dict[str, list[str]] = {}
    for image in images:
        by_split.setdefault(split_in(image), []).append(image)
    if not by_split:
        raise DataError(f"{tree.root} holds no images; expected {tree.root}/images/{{train,val}}/*.jpg")
    return by_split
