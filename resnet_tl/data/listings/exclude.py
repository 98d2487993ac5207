"""Excludes the images that a file names from a set."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from resnet_tl.data.listings.listing import ListingT
from resnet_tl.errors import DataError


def exclude_images(splits: Mapping[str, ListingT], file: str) -> tuple[dict[str, ListingT], str]:
    """Returns the splits without the images that a CSV names in its column `key`, and a note about how many these are.

    A key is an image's path below the root; `resnet-tl data check --write` writes such files.

    Raises:
        DataError: the file cannot be read, or has no column `key`.
    """
    keys = _keys(file)
    found: set[str] = set()
    remaining: dict[str, ListingT] = {}
    for split, listing in splits.items():
        chosen = np.array([listing.key(index) in keys for index in range(len(listing))], bool)
        found.update(listing.key(int(index)) for index in np.flatnonzero(chosen))
        remaining[split] = listing.select(np.flatnonzero(~chosen))  # type: ignore[assignment]  # of its own class
    unknown = len(keys - found)
    more = f"; {unknown} of its keys are not in the set" if unknown else ""
    if not any(map(len, remaining.values())):
        raise DataError(f"data.exclude: {file} excludes all images")
    note = f"{file}: excludes {len(found)} images{more}"
    return {split: listing for split, listing in remaining.items() if len(listing)}, note


def _keys(file: str) -> set[str]:
    try:
        table = csv.DictReader(Path(file).read_text(encoding="utf-8-sig").splitlines(), strict=True)
        rows, columns = list(table), table.fieldnames or []
    except OSError as error:
        raise DataError(f"data.exclude: {file} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data.exclude: {file} is not a CSV in UTF-8 ({error})") from None
    if "key" not in columns:
        found = f"the columns {', '.join(columns)}" if columns else "no columns"
        raise DataError(f"data.exclude: {file} has {found}; expected a column key, paths below the root")
    return {row["key"] for row in rows}
