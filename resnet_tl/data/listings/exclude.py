"""Excludes the images that a file names from a set."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from resnet_tl.data.listings.listing import SetT
from resnet_tl.errors import DataError


def exclude_images(images: SetT, file: str) -> SetT:
    """Returns the set without the images that a CSV names in its column `key`, their faults and remarks.

    A key is an image's path below the root; `resnet-tl data check --write` and `data suspects --write` write such
    files. A note tells how many there are.

    Raises:
        DataError: the file cannot be read, or has no column `key`.
    """
    keys = _keys(file)
    found = keys & set(images.faults.values())
    faults = {fault: key for fault, key in images.faults.items() if key not in keys}
    splits = {}
    for split, listing in images.splits.items():
        chosen = np.array([listing.key(index) in keys for index in range(len(listing))], bool)
        found.update(listing.key(int(index)) for index in np.flatnonzero(chosen))
        splits[split] = listing.select(np.flatnonzero(~chosen))
    if not any(map(len, splits.values())):
        raise DataError(f"data.exclude: {file} excludes all images")
    unknown = len(keys - found)
    more = f"; {unknown} of its keys are not in the set" if unknown else ""
    note = f"{file}: excludes {len(found)} images{more}"
    splits = {split: listing for split, listing in splits.items() if len(listing)}
    remarks = {remark: key for remark, key in images.remarks.items() if key not in keys}
    return replace(images, splits=splits, faults=faults, remarks=remarks, notes=[*images.notes, note])


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
