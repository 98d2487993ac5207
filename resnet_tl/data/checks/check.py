"""All checks of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from resnet_tl.data.checks.classes import class_findings, similar_names, unlabelled_images
from resnet_tl.data.checks.duplicates import duplicates, near_duplicates
from resnet_tl.data.checks.images import damaged_images, look_at, unreadable_images, unusual_images
from resnet_tl.data.checks.masks import mask_findings
from resnet_tl.data.checks.objects import object_findings
from resnet_tl.data.listings.finding import Finding

if TYPE_CHECKING:
    from resnet_tl.data.base import ImageData


def check(data: ImageData, progress: Callable[[int, int], None] = lambda done, total: None) -> list[Finding]:
    """Returns what is probably wrong with the images and annotations of a data module. Decodes every image once.

    Faults that training could not use at all (missing masks, boxes that are not numbers) are a DataError of the
    module's constructor, unless it is made within `kept_faults`: see `fault_findings`.

    progress: called with the number of images read, and of all.
    """
    looks, unreadable = look_at(data.listings, data.channels, progress)
    masked = any(hasattr(listing, "mask") for listing in data.listings.values())
    boxed = any(hasattr(listing, "objects") for listing in data.listings.values())
    labels = {} if masked or boxed else dict(_labels(data))
    masks = list(mask_findings(data.listings, data.classes))
    named = {finding.path for finding in masks}  # remarks say less of them
    findings = [*unreadable_images(unreadable), *damaged_images(looks)]
    findings += [remark for remark in data.remarks if remark.path not in named]
    # Images that are almost the same have almost the same numbers.
    numbers = any(hasattr(listing, "values") for listing in data.listings.values())
    findings += [*duplicates(looks, labels), *near_duplicates(looks, {} if numbers else labels)]
    if not masked:
        counts = {split: listing.class_counts(len(data.classes)) for split, listing in data.listings.items()}
        findings += class_findings(counts, data.classes, "objects" if boxed else "images")
    findings += [*similar_names(data.classes), *unlabelled_images(data.listings)]
    findings += object_findings(data.listings, data.classes, {image.key for image in unreadable})
    return [*findings, *masks, *unusual_images(looks)]


def fault_findings(root: str, faults: Mapping[str, str]) -> Iterator[Finding]:
    """The faults of a set, which begin with the root, or with the path of a file and a colon.

    faults: see `kept_faults`.
    """
    for fault, key in faults.items():
        path, text = (root, fault.removeprefix(root)) if fault.startswith(f"{root} ") else _divided(fault)
        yield Finding("fault", "", path, text.strip(), key)


def _divided(fault: str) -> tuple[str, str]:
    path, colon, text = fault.partition(": ")
    return (path, text) if colon else ("", fault)


def _labels(data: ImageData) -> Iterator[tuple[str, str]]:
    """The class, the classes or the numbers of each image."""
    for listing in data.listings.values():
        yield from ((key, listing.label_text(index, data.classes)) for index, key in enumerate(listing.keys()))
