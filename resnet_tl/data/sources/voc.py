"""Pascal VOC's annotations of objects: an XML file per image."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from resnet_tl.data.images.decode import read_bytes
from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.sources.annotations import BoxListingBuilder, box_set
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.folder import SPLITS
from resnet_tl.data.sources.forms import other_reader
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.data.sources.tree import Tree, is_image, walk
from resnet_tl.errors import DataError, did_you_mean


class Object(NamedTuple):
    """box: xmin, ymin, xmax, ymax as written: pixels counted from 1, including the last one."""

    name: str
    box: list[float]
    difficult: bool


class Document(NamedTuple):
    """An XML file. size: (h, w); None where it has none."""

    path: str
    size: tuple[int, int] | None
    objects: list[Object]


def read_voc_boxes(root: str, classes: Sequence[str] | None = None, channels: int = 3) -> BoxSet:
    """Reads `root/{JPEGImages,Annotations,ImageSets/Main/{train,val,test}.txt}`; or XML files next to their images, in
    `root` or in `root/{train,val,test}`.

    Boxes become x1 = xmin - 1 to x2 = xmax on pixel edges. `difficult` objects are treated like crowds: they are not
    targets, and missing them is not an error. Classes are those of the training images, sorted, unless `classes` (a
    checkpoint's) are given.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    tree = walk(root)
    findings = Findings(tree.root)
    by_split = _listed(tree, findings) if "ImageSets/Main" in tree.folders else _xml_next_to_images(tree, findings)
    documents = {
        split: {key: document for key, xml in pairs if (document := _read(f"{tree.root}/{xml}", findings))}
        for split, pairs in by_split.items()
    }
    names = list(classes) if classes is not None else _classes(documents)
    index = {name: i for i, name in enumerate(names)}
    builders = {}
    for split, found in documents.items():
        entries = [Entry(key, document.size, document.path) for key, document in found.items()]
        builders[split] = BoxListingBuilder(entries, names, channels, findings)
        _add(builders[split], found.values(), index, findings)
    return box_set(findings, builders, names, list(range(len(names))))


def _add(builder: BoxListingBuilder, documents: Iterable[Document], index: dict[str, int], findings: Findings) -> None:
    for row, document in enumerate(documents):
        for number, (name, box, difficult) in enumerate(document.objects, 1):
            if name not in index:
                findings.faults.append(
                    f"{document.path}: object {number} is a {name!r}, which is not a class{did_you_mean(name, index)}"
                )
            xmin, ymin, xmax, ymax = box
            if xmin < xmax and ymin < ymax:
                xmin, ymin = xmin - 1, ymin - 1
            place = f"object {number}"
            builder.add(row, index.get(name), [xmin, ymin, xmax, ymax], place, crowd=difficult)


def _listed(tree: Tree, findings: Findings) -> dict[str, list[tuple[str, str]]]:
    """Returns the images and XML files in each split's list, below the root."""
    there = set(tree.files)
    images = {_stem(file): file for file in sorted(there) if file.startswith("JPEGImages/") and is_image(file)}
    lists = {split: f"ImageSets/Main/{split}.txt" for split in ("train", "val", "test")}
    lists = {split: file for split, file in lists.items() if file in there}
    if not lists and "ImageSets/Main/trainval.txt" in there:
        lists = {"train": "ImageSets/Main/trainval.txt"}
    if not lists:
        raise DataError(f"{tree.root}/ImageSets/Main holds no train.txt, val.txt, test.txt or trainval.txt")
    found: dict[str, list[tuple[str, str]]] = {}
    for split, file in lists.items():
        names = [line.split()[0] for line in read_bytes(f"{tree.root}/{file}").decode().splitlines() if line.strip()]
        found[split], seen = [], set()
        for name in names:
            xml = f"Annotations/{name}.xml"
            if name in seen:
                findings.faults.append(f"{tree.root}/{file}: lists {name} twice")
            elif xml not in there:
                findings.faults.append(f"{tree.root}/{file}: lists {name}, but {tree.root}/{xml} does not exist")
            elif name not in images:
                findings.faults.append(f"{tree.root}/{xml}: its image JPEGImages/{name}.jpg does not exist")
            else:
                found[split].append((images[name], xml))
            seen.add(name)
    return found


def _xml_next_to_images(tree: Tree, findings: Findings) -> dict[str, list[tuple[str, str]]]:
    """Returns the images and XML files of equal path except for the ending, by split."""
    images = {file.rpartition(".")[0]: file for file in sorted(tree.files) if is_image(file)}
    xmls = sorted(file for file in tree.files if file.endswith(".xml"))
    if not xmls:
        raise DataError(
            f"{tree.root} holds neither ImageSets/Main nor .xml files; expected Pascal VOC's layout, or XML files "
            f"next to their images{other_reader(tree, 'VOCDetection')}"
        )
    found: dict[str, list[tuple[str, str]]] = {}
    for xml in xmls:
        path = xml.removesuffix(".xml")
        if path not in images:
            findings.faults.append(f"{tree.root}/{xml}: its image does not exist next to it")
            continue
        found.setdefault(SPLITS.get(xml.partition("/")[0].lower(), "train"), []).append((images[path], xml))
    unannotated = sorted(images.keys() - {xml.removesuffix(".xml") for xml in xmls})
    files = [images[path] for path in unannotated]
    findings.note("images without an XML file, skipped", files, "missing partner", "has no XML file")
    return found


def _read(path: str, findings: Findings) -> Document | None:
    try:
        tree = ElementTree.fromstring(read_bytes(path))
        size = _size(tree)
    except (ElementTree.ParseError, ValueError, OverflowError) as error:
        findings.faults.append(f"{path}: is not valid XML of Pascal VOC ({error})")
        return None
    except DataError as error:
        findings.faults.append(str(error))
        return None
    objects = []
    for number, element in enumerate(tree.iter("object"), 1):
        try:
            objects.append(_object(element))
        except ValueError as error:
            findings.faults.append(f"{path}: object {number} {error}")
    return Document(path, size, objects)


def _object(element: ElementTree.Element) -> Object:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise ValueError("has no name")
    try:
        box = [float(element.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")]
    except ValueError:
        raise ValueError(f"({name}) has no bndbox of four numbers") from None
    return Object(name, box, (element.findtext("difficult") or "0").strip() == "1")


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    """Returns (h, w); None where it is absent or 0 x 0, which some tools write."""
    height, width = (int(float(tree.findtext(f"size/{side}") or 0)) for side in ("height", "width"))
    return (height, width) if height and width else None


def _classes(documents: dict[str, dict[str, Document]]) -> list[str]:
    first = "train" if "train" in documents else next(iter(documents), "")
    return sorted({each.name for document in documents.get(first, {}).values() for each in document.objects})


def _stem(file: str) -> str:
    return posixpath.splitext(posixpath.basename(file))[0]
