"""Finds the images and XML files of a set in Pascal VOC's format, with and without lists of splits."""

from __future__ import annotations

import itertools
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable

from resnet_tl.data.sources.annotations import split_in
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.folder_names import SPLITS
from resnet_tl.data.sources.forms import other_reader
from resnet_tl.data.sources.image_finder import canonical
from resnet_tl.data.sources.text_files import read_text
from resnet_tl.data.sources.tree import Tree, is_image
from resnet_tl.errors import DataError

Pairs = dict[str, list[tuple[str, str]]]
"""Image and XML file of each image, below the root, by split."""
IMAGE_FOLDERS = {"jpegimages", "images", "image", "imgs", "img", "photos"}
"""Which folders hold images, and not masks of the same names."""


def listed_pairs(tree: Tree, findings: Findings) -> Pairs | None:
    """Returns what the lists in `ImageSets/Main` name; None where a set has no such folder.

    Raises:
        DataError: there are several such folders, or no list of images in it.
    """
    folders = sorted(folder for folder in tree.folders if f"/{folder}".endswith("/ImageSets/Main"))
    if not folders:
        return None
    if len(folders) > 1:
        raise DataError(f"{tree.root} holds {' and '.join(folders[:2])}; expected one, set data.root to its set")
    base = folders[0].removesuffix("ImageSets/Main")
    there, start = set(tree.files), len(base) + len("JPEGImages/")
    images = {
        posixpath.splitext(file[start:])[0]: file
        for file in sorted(there)
        if file.startswith(f"{base}JPEGImages/") and is_image(file)
    }
    found: Pairs = {}
    for split, file in _lists(tree, folders[0]).items():
        found[split], seen = [], set()
        for line in read_text(f"{tree.root}/{file}").splitlines():
            if not line.strip():
                continue
            name = _name(line, lambda name: f"{base}Annotations/{name}.xml" in there)
            xml = f"{base}Annotations/{name}.xml"
            if name in seen:
                findings.faults.append(f"{tree.root}/{file}: lists {name} twice")
            elif xml not in there:
                findings.faults.append(f"{tree.root}/{file}: lists {name}, but {tree.root}/{xml} does not exist")
            elif name not in images:
                findings.faults.append(f"{tree.root}/{xml}: its image {base}JPEGImages/{name}.jpg does not exist")
            else:
                found[split].append((images[name], xml))
            seen.add(name)
    return found


def found_pairs(tree: Tree, findings: Findings) -> Pairs:
    """Returns the XML files and their images: of those of the same name, the one in the nearest folder.

    Raises:
        DataError: there are no XML files.
    """
    images: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(filter(is_image, tree.files)):
        images[posixpath.dirname(file)][_stem(file)].append(file)
    xmls = sorted(file for file in tree.files if file.lower().endswith(".xml"))
    if not xmls:
        raise DataError(
            f"{tree.root} holds neither ImageSets/Main nor .xml files; expected Pascal VOC's layout, or XML files "
            f"next to their images{other_reader(tree, 'VOCDetection')}"
        )
    found: Pairs = {}
    used: set[str] = set()
    ranked: dict[str, list[list[str]]] = {}
    for xml in xmls:
        folder, stem = posixpath.dirname(xml), _stem(xml)
        if folder not in ranked:
            ranked[folder] = _by_distance(images, folder)
        found_in = ([file for each in folders for file in images[each].get(stem, [])] for folders in ranked[folder])
        nearest = next(filter(None, found_in), [])
        if not nearest:
            findings.faults.append(f"{tree.root}/{xml}: has no image of its name; expected one next to it, or images/")
        elif len(nearest) > 1:
            findings.faults.append(f"{tree.root}/{xml}: its image may be {nearest[0]} or {nearest[1]}")
        elif nearest[0] in used:
            findings.faults.append(f"{tree.root}/{xml}: its image {nearest[0]} has another XML file, too")
        else:
            used.add(nearest[0])
            found.setdefault(split_in(f"{posixpath.dirname(nearest[0])}/{xml}"), []).append((nearest[0], xml))
    unannotated = sorted(file for file in tree.files if is_image(file) and file not in used)
    findings.note("images without an XML file, skipped", unannotated, "missing partner", "has no XML file")
    return found


def _lists(tree: Tree, folder: str) -> dict[str, str]:
    """Returns the list of each split. Lists of single classes, as `cat_train.txt`, are not among them."""
    lists = {_stem(file).lower(): file for file in sorted(tree.files) if posixpath.dirname(file) == folder}
    found = {SPLITS[name]: file for name, file in lists.items() if name in SPLITS}
    if found:
        return found
    # CVAT calls the list of a task without subsets default.txt.
    whole = [lists[name] for name in ("trainval", "default") if name in lists]
    if not whole:
        raise DataError(f"{tree.root}/{folder} holds no train.txt, val.txt, test.txt, trainval.txt or default.txt")
    return {"train": whole[0]}


def _name(line: str, exists: Callable[[str], bool]) -> str:
    """Returns the image that a line names: all of it, perhaps in quotes, or its first word, where a flag follows."""
    whole = line.strip().strip('"')
    return whole if exists(whole) else line.split()[0]


def _by_distance(folders: Iterable[str], folder: str) -> list[list[str]]:
    """Returns folders of images in groups of equal distance from a folder of XML files, the nearest group first."""
    distances = {each: _distance(each, folder) for each in folders}
    order = sorted(distances, key=lambda each: (distances[each], each))
    return [list(group) for _, group in itertools.groupby(order, key=distances.__getitem__)]


def _distance(images: str, xmls: str) -> tuple[bool, int]:
    """Returns how far two folders are apart: the parts in which their paths differ, those named after images first."""
    ours, others = ([name for name in path.split("/") if name] for path in (images, xmls))
    start = len(posixpath.commonprefix([ours, others]))
    ours, others = ours[start:][::-1], others[start:][::-1]
    parts = len(ours) + len(others) - 2 * len(posixpath.commonprefix([ours, others]))
    return parts > 0 and IMAGE_FOLDERS.isdisjoint(images.lower().split("/")), parts


def _stem(file: str) -> str:
    return posixpath.splitext(posixpath.basename(canonical(file)))[0]
