"""What the names of folders mean: a split, a kind of file, or else a class."""

from __future__ import annotations

import re
from collections.abc import Iterable

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""The split that a word names, in lower case, in tables and names of files."""
FOLDER_SPLITS = {**SPLITS, "training": "train", "testing": "test"}
"""The same for folders."""

_SET = "ds|set|data|dataset|split"
_SPLIT_FOLDER = re.compile(rf"(?:(?:{_SET})[_\- ]?)?({'|'.join(FOLDER_SPLITS)})(?:[_\- ]?(?:{_SET}))?", re.IGNORECASE)

KINDS = frozenset([
    "images", "imgs", "img", "jpegimages", "img_dir", "imagestr", "imagests", "leftimg8bit",
    "masks", "labels", "annotations", "annots", "trimaps", "ann_dir", "labelstr", "labelsts", "gtfine",
    "segmentations", "segmentationclass", "segmentationobject", "groundtruth", "ground_truth",
])  # fmt: skip
"""Names that describe a kind of file, in lower case."""
KINDS_IN_PAIRS = frozenset([
    *("image", "input", "inputs", "mask", "label", "annotation", "ann", "target", "targets", "gt", "seg"),
    *("segmentation", "output", "outputs"),
])  # fmt: skip
"""Names that do so next to another one, and may be a class where they are alone: `mask/` and `no_mask/`."""


def split_of(folder: str) -> str | None:
    """Returns the split that a folder is named after, as in `train`, `Valid`, `training_set` or `ds_val`."""
    match = _SPLIT_FOLDER.fullmatch(folder)
    return FOLDER_SPLITS[match[1].lower()] if match else None


def kinds_of_file(folders: Iterable[str]) -> list[str]:
    """Returns those of the folders next to each other whose names describe a kind of file, sorted."""
    found = sorted(name for name in folders if name.lower() in KINDS | KINDS_IN_PAIRS)
    return found if len(found) > 1 or any(name.lower() in KINDS for name in found) else []
