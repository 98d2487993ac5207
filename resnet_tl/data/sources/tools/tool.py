"""The annotation tools whose exports are read, and how each is recognised."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from resnet_tl.data.sources.tools import cvat, label_studio, labelme, supervisely, via
from resnet_tl.data.sources.tools.document import Reading, json_files
from resnet_tl.data.sources.tree import Tree

ToolName = Literal["labelme", "via", "label_studio", "cvat", "supervisely"]


class Tool(NamedTuple):
    """name: as people know it. read: from its files to documents."""

    name: str
    read: Callable[[Reading], None]


TOOLS: dict[ToolName, Tool] = {
    "labelme": Tool("labelme", labelme.read),
    "via": Tool("VGG Image Annotator", via.read),
    "label_studio": Tool("Label Studio", label_studio.read),
    "cvat": Tool("CVAT for images 1.1", cvat.read),
    "supervisely": Tool("Supervisely", supervisely.read),
}


def is_supervisely(tree: Tree) -> bool:
    """Whether a folder has JSON files in a folder `ann`, as Supervisely alone exports them."""
    return any(posixpath.basename(posixpath.dirname(file)) == "ann" for file in json_files(tree))


def tool_of_json(content: Any) -> ToolName | None:
    """Returns the tool that wrote the content of a JSON file, if any is known to."""
    if labelme.is_export(content):
        return "labelme"
    if label_studio.is_export(content):
        return "label_studio"
    return "via" if via.is_export(content) else None
