"""Images without labels, for a teacher to label."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.sources.tree import is_image, real_paths, walk
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
    held_out = set(chain.from_iterable(real_paths(listing.root, listing.keys()) for listing in evaluated))
    keys = [key for key, path in zip(found, real_paths(tree.root, found), strict=True) if path not in held_out]
    if not keys:
        fault = "holds no images" if not found else "holds no images but those to evaluate on"
        raise DataError(f"data.unlabelled: {folder} {fault}")
    skipped = len(found) - len(keys)
    note = f"; {skipped:,} to evaluate on are skipped" if skipped else ""
    return Listing.of(tree.root, keys, [0] * len(keys)), f"{folder}: {len(keys):,} unlabelled images{note}"
