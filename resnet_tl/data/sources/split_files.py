"""Files with the annotations of a split each: the split is in their names, or in those of their folders."""

from __future__ import annotations

import re
from collections.abc import Sequence

from resnet_tl.data.sources.folder_names import SPLITS
from resnet_tl.errors import DataError


def files_by_split(root: str, files: Sequence[str], option: str) -> dict[str, str]:
    """Returns the file of each split; a single file of another name is `train`.

    Args:
        root: what messages call the set.
        files: one or more, below it.
        option: the key that can list them, `data.annotations`.

    Raises:
        DataError: no name contains a split, or two contain the same one.
    """
    found: dict[str, str] = {}
    for file in files:
        split = split_named(file)
        if split is None and len(files) == 1:
            split = "train"
        if split in found:
            raise DataError(
                f"{root} has two files for the split {split}, {found[split]} and {file}; "
                f"list one per split in {option}, as {{train: {file}}}"
            )
        if split is not None:
            found[split] = file
    if not found:
        raise DataError(
            f"{root}: no file name contains a split ({', '.join(files[:5])}); list each split's file in "
            f"{option}, as {{train: {files[0]}}}"
        )
    return found


def split_named(file: str) -> str | None:
    """Returns the split in a path, as in `annotations/instances_val2017.json` or `valid/_annotations.coco.json`."""
    words = re.findall("[a-z]+", file.lower())
    return next((SPLITS[word] for word in reversed(words) if word in SPLITS), None)
