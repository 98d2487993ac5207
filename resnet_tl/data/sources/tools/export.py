"""Exports of annotation tools as sets of images with objects: labelme, VIA, Label Studio, CVAT, Supervisely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.listings.faults import raise_if_any
from resnet_tl.data.sources.annotations import BoxListingBuilder, box_set, split_in
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.data.sources.text_files import read_xml
from resnet_tl.data.sources.tools import cvat
from resnet_tl.data.sources.tools.document import Document, Reading, json_files, xml_files
from resnet_tl.data.sources.tools.tool import TOOLS, ToolName, is_supervisely, tool_of_json
from resnet_tl.data.sources.tree import Tree, walk
from resnet_tl.errors import DataError, did_you_mean
from resnet_tl.structures.records import Code


def read_tool_export(
    root: str,
    tool: ToolName | None = None,
    classes: Sequence[str] | None = None,
    channels: int = 3,
    *,
    keep_empty: bool = False,
) -> BoxSet:
    """A folder or zip of images with the export of an annotation tool anywhere in it.

    The split is the tool's, or that of a folder called train, val or test in the image's path, or else all `train`.
    Classes are the labels of the training images, sorted. Objects keep their masks.

    Args:
        root: that folder.
        tool: a key of `TOOLS`; None: detected from the files.
        classes: a checkpoint's class names, among which the set's must be.
        channels: of the images.
        keep_empty: keep classes without an object in any split; see `box_set`.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    tree = walk(root)
    findings = Findings(tree.root)
    reading = Reading(tree, findings)
    export = TOOLS[tool or tool_of(tree)]
    export.read(reading)
    if not reading.documents and not findings.faults:
        raise DataError(f"{tree.root} holds no export of {export.name}")
    if reading.skipped:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(reading.skipped.items()))
        findings.notes.append(f"{tree.root}: shapes that are neither boxes nor regions, skipped: {kinds}")
    by_split = _by_split(reading)
    names = list(classes) if classes is not None else _labels(by_split)
    builders = {}
    for split, documents in by_split.items():
        entries = [Entry(key, document.size, document.source) for key, document in documents.items()]
        builders[split] = BoxListingBuilder(entries, names, channels, findings)
        _add(builders[split], documents.values(), names, findings)
    codes: list[Code] = [*range(len(names))]
    return box_set(findings, builders, names, codes, known=classes, keep_empty=keep_empty)


def tool_of(tree: Tree) -> ToolName:
    """Returns the key of the tool whose export is in a folder.

    Raises:
        DataError: none does, or files that may be of it cannot be read.
    """
    if is_supervisely(tree):
        return "supervisely"
    probe = Reading(tree, Findings(tree.root))
    for file in json_files(tree):
        if tool := tool_of_json(probe.json(file)):
            return tool
    for file in xml_files(tree):
        try:
            if cvat.is_export(read_xml(f"{tree.root}/{file}")):
                return "cvat"
        except DataError as error:
            probe.findings.faults.append(str(error))
    raise_if_any(tree.root, probe.findings.faults)
    known = ", ".join(tool.name for tool in TOOLS.values())
    raise DataError(f"{tree.root} holds no export of {known}")


def _by_split(reading: Reading) -> dict[str, dict[str, Document]]:
    """Returns the documents of each split by the keys of their images; images that cannot be found become faults."""
    faults = reading.findings.faults
    placed: dict[str, Document] = {}
    by_split: dict[str, dict[str, Document]] = {}
    for document in reading.documents:
        try:
            key = reading.key_of(document)
        except ValueError as error:
            faults.append(f"{document.source}: its image {document.image} {error}")
            continue
        if key is None:
            faults.append(f"{document.source}: its image {document.image} does not exist below {reading.tree.root}")
        elif key in placed:
            faults.append(f"{document.source}: its image {key} is annotated twice, also in {placed[key].source}")
        else:
            placed[key] = document
            by_split.setdefault(document.split or split_in(key), {})[key] = document
    unused = reading.finder.unused(set(placed))
    reading.findings.note("images without annotations, skipped", unused, "missing partner", "has no annotations")
    return by_split


def _labels(by_split: dict[str, dict[str, Document]]) -> list[str]:
    first = "train" if "train" in by_split else next(iter(by_split), "")
    return sorted({drawn.label for document in by_split.get(first, {}).values() for drawn in document.drawn})


def _add(builder: BoxListingBuilder, documents: Iterable[Document], names: Sequence[str], findings: Findings) -> None:
    index = {name: i for i, name in enumerate(names)}
    for row, document in enumerate(documents):
        for label, shape, place in document.drawn:
            if label not in index:
                near = did_you_mean(label, index)
                findings.faults.append(f"{document.source}: {place} is a {label!r}, which is not a class{near}")
            builder.add(row, index.get(label), shape.box, place, mask=shape.mask)
