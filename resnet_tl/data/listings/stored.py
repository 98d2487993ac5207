"""Sets of images as named flat arrays, and back: what a packed set keeps of keys and targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np

from resnet_tl.data.images.class_masks import Coding
from resnet_tl.data.listings.boxes import BoxListing, BoxSet
from resnet_tl.data.listings.listing import ClassSet, ImageSet, Listing
from resnet_tl.data.listings.masks import MaskListing, MaskSet, PaintedMaskListing
from resnet_tl.data.listings.objects import NUMBERS, PackedMasks, PackedObjects
from resnet_tl.data.listings.rows import Rows
from resnet_tl.data.listings.values import ValueListing, ValueSet

Arrays = dict[str, np.ndarray]

TASKS: dict[str, type[ImageSet[Any]]] = {
    "classification": ClassSet,
    "detection": BoxSet,
    "regression": ValueSet,
    "segmentation": MaskSet,
}


def task_of(images: ImageSet[Any]) -> str:
    return next(task for task, kind in TASKS.items() if isinstance(images, kind))


def arrays_of(images: ImageSet[Any]) -> tuple[Arrays, dict[str, Any]]:
    """Returns the arrays of all splits and of the set itself, and what else there is, as plain Python."""
    arrays: Arrays = {}
    for split, listing in images.splits.items():
        arrays |= {f"{split}/{name}": values for name, values in _of_listing(listing).items()}
    if images.groups:
        keys = chain.from_iterable(listing.keys() for listing in images.splits.values())
        arrays |= _of_rows("groups", Rows.of_text([images.groups[key] for key in keys]))
    more: dict[str, Any] = {}
    if isinstance(images, ClassSet):
        more["multi_label"] = images.multi_label
    elif isinstance(images, BoxSet):
        more["codes"] = images.codes
    elif isinstance(images, MaskSet):
        more |= {"painted": any(isinstance(each, PaintedMaskListing) for each in images.splits.values())}
        more |= {"palettes": images.coding.palettes, "absent": list(images.absent)}
        more["by_colour"] = [[colour, value] for colour, value in images.coding.by_colour.items()]
        arrays |= {"codes": images.coding.codes, "colours": images.colours, "pixels": images.pixels}
    return arrays, more


def set_of(
    task: str, root: str, paths: str, classes: list[str], splits: list[str], arrays: Arrays, more: Mapping[str, Any]
) -> ImageSet[Any]:
    """Returns the set of which `arrays_of` returned `arrays` and `more`.

    root: what the set is called. paths: what the keys are below.
    """
    coding = None
    if task == "segmentation":
        coding = Coding(arrays["codes"], dict(more["by_colour"]), more["palettes"])
    listings: dict[str, Any] = {}
    for split in splits:
        of_split = {
            name.removeprefix(f"{split}/"): array for name, array in arrays.items() if name.startswith(f"{split}/")
        }
        listings[split] = _listing(task, paths, of_split, coding)
    groups = _groups(listings.values(), arrays)
    if task == "classification":
        return ClassSet(root, classes, listings, groups=groups, multi_label=more["multi_label"])
    if task == "detection":
        return BoxSet(root, classes, listings, groups=groups, codes=more["codes"])
    if task == "regression":
        return ValueSet(root, classes, listings, groups=groups)
    assert coding is not None
    kept = {"colours": arrays["colours"], "pixels": arrays["pixels"], "absent": more["absent"]}
    return MaskSet(root, classes, listings, coding=coding, **kept)


def _groups(listings: Iterable[Listing], arrays: Arrays) -> dict[str, str]:
    """Returns the group of each key, where they were kept."""
    if "groups" not in arrays:
        return {}
    keys = chain.from_iterable(listing.keys() for listing in listings)
    names = _rows("groups", arrays)
    return {key: names[place].tobytes().decode() for place, key in enumerate(keys)}


def _of_listing(listing: Listing) -> Arrays:
    arrays = _of_rows("keys", listing._keys)
    if isinstance(listing, ValueListing):
        return arrays | {"values": listing.values}
    if isinstance(listing, MaskListing):
        return arrays | _of_rows("masks", listing.masks) | {"orientations": listing.orientations}
    if isinstance(listing, BoxListing):
        packed = listing.packed
        arrays |= {"sizes": listing.sizes, "starts": packed.starts}
        arrays |= {name: getattr(packed, name) for name in NUMBERS}
        if packed.masks is not None:
            arrays |= {"mask_starts": packed.masks.starts}
            arrays |= _of_rows("polygons", packed.masks.polygons) | _of_rows("runs", packed.masks.runs)
        return arrays
    return arrays | (
        _of_rows("targets", listing.targets) if isinstance(listing.targets, Rows) else {"targets": listing.targets}
    )


def _listing(task: str, root: str, arrays: Arrays, coding: Coding | None) -> Listing:
    keys = _rows("keys", arrays)
    if task == "regression":
        return ValueListing(root, keys, arrays["values"])
    if task == "segmentation" and "masks" in arrays:
        assert coding is not None
        return MaskListing(root, keys, _rows("masks", arrays), coding, arrays["orientations"])
    if task in ("detection", "segmentation"):
        masks = None
        if "mask_starts" in arrays:
            masks = PackedMasks(_rows("polygons", arrays), arrays["mask_starts"], _rows("runs", arrays))
        packed = PackedObjects(arrays["starts"], **{name: arrays[name] for name in NUMBERS}, masks=masks)
        listing = BoxListing(root, keys, arrays["sizes"], packed)
        return listing if task == "detection" else PaintedMaskListing.of_objects(listing)
    return Listing(root, keys, _rows("targets", arrays) if "targets_at" in arrays else arrays["targets"])


def _of_rows(name: str, rows: Rows) -> Arrays:
    return {name: rows.values, f"{name}_at": rows.offsets}


def _rows(name: str, arrays: Arrays) -> Rows:
    return Rows(arrays[name], arrays[f"{name}_at"])
