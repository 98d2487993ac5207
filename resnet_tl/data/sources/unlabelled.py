"""Images without labels, for a teacher to label."""

from __future__ import annotations

import os
from collections.abc import Iterable

from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.sources.tree import is_image, walk
from resnet_tl.errors import DataError


def read_unlabelled(folder: str, evaluated: Iterable[Listing]) -> tuple[Listing, str]:
    """Returns the images at any depth below a folder, or in a zip, whose targets mean nothing; and a note.

    Args:
        evaluated: those that validation and test use, which are skipped.

    Raises:
        DataError: there is no such folder, or no other images are in it.
    """
    tree = walk(folder)
    found = sorted(filter(is_image, tree.files))
    held_out: set[str] = set()
    for listing in evaluated:
        root = os.path.realpath(listing.root)
        held_out.update(os.path.join(root, listing.key(index)) for index in range(len(listing)))
    root = os.path.realpath(tree.root)
    keys = [key for key in found if os.path.join(root, key) not in held_out]
    if not keys:
        fault = "holds no images" if not found else "holds no images but those to evaluate on"
        raise DataError(f"data.unlabelled: {folder} {fault}")
    skipped = len(found) - len(keys)
    note = f"; {skipped:,} to evaluate on are skipped" if skipped else ""
    return Listing.of(tree.root, keys, [0] * len(keys)), f"{folder}: {len(keys):,} unlabelled images{note}"
