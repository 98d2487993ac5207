"""Image and mask files made a set, once they have been checked; all faults in one error."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from resnet_tl.data.images.class_masks import NO_CLASS, Coding, UnknownColour, unknown_values, without_class
from resnet_tl.data.images.headers import Header
from resnet_tl.data.listings.masks import MaskListing, MaskSet, SegmentationListing
from resnet_tl.data.listings.odd_masks import OddMask
from resnet_tl.data.sources.class_list import ClassList, class_colours
from resnet_tl.data.sources.class_names import check_known
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.mask_scan import Pair, Scanned, Scans
from resnet_tl.data.sources.orientation import Entry, orient, read_headers
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

NOTABLE = 0.1
"""Share of a split's pixels that are ignored, to be noted."""


def checked_set(
    classes: ClassList,
    coding: Coding,
    splits: Mapping[str, Sequence[Pair]],
    scans: Scans,
    findings: Findings,
    channels: int,
    *,
    all_shown: bool,
) -> MaskSet:
    """Checks the files of a set and counts the pixels of its classes.

    Args:
        classes, coding: how the masks are read.
        splits: pairs by split.
        scans: the masks that were read, of all pairs or of a sample.
        findings: the faults and notes found so far; its root is what the pairs are relative to.
        channels: of the images.
        all_shown: whether a class that no training mask shows is a fault; otherwise it is noted.

    The splits hold the pairs without a fault.
    """
    odd: list[OddMask] = []
    pixels = {split: _count(split, scans[split], coding, classes.names[0], findings, odd) for split in splits}
    findings.faults += [each.sentence for each in odd]
    orientations = {split: _orientations(pairs, scans[split], findings, channels) for split, pairs in splits.items()}
    count = len(classes.names)
    shown = sum(pixels.values(), np.zeros(256, np.int64))[:count] > 0
    complete = all(len(scans[split]) == len(pairs) for split, pairs in splits.items())
    if "train" in splits and complete:
        _note_missing(classes.names, pixels["train"], coding, findings, fault=all_shown)
    for pair in chain.from_iterable(splits.values()):
        findings.images.update({f"{findings.root}/{path}": pair[0] for path in pair})
    faults = findings.faults_by_image()
    faulty = set(faults.values())
    listings: dict[str, SegmentationListing] = {}
    for split, pairs in splits.items():
        usable = [index for index, pair in enumerate(pairs) if pair[0] not in faulty]
        if usable:
            kept = [pairs[index] for index in usable]
            listings[split] = MaskListing.of_pairs(findings.root, kept, coding, orientations[split][usable])
    return MaskSet(
        findings.name,
        classes.names,
        listings,
        findings.notes,
        faults,
        findings.remarks_by_image(),
        absent=np.flatnonzero(~shown).tolist() if complete else [],
        colours=classes.colours,
        pixels=pixels.get("train", np.zeros(0, np.int64))[:count],
        coding=coding,
        odd=odd,
    )


def in_order_of(images: MaskSet, known: Sequence[str]) -> MaskSet:
    """Returns a set with the classes of a checkpoint, of which it may show only some.

    Raises:
        DataError: it has a class that the checkpoint lacks.
    """
    check_known(images.root, set(images.classes), known)
    if list(known) == images.classes:
        return images
    places = [known.index(name) for name in images.classes]
    indices = np.arange(256, dtype=np.uint8)
    indices[: len(places)] = places
    coding = images.coding._replace(codes=indices[images.coding.codes])
    listings: dict[str, SegmentationListing] = {
        split: listing.recoded(coding) for split, listing in images.splits.items() if isinstance(listing, MaskListing)
    }
    shown = {places[i] for i in range(len(places)) if i not in images.absent}
    colours, pixels = class_colours(known), np.zeros(len(known), np.int64)
    colours[places] = images.colours
    pixels[places[: len(images.pixels)]] = images.pixels
    return replace(
        images,
        classes=list(known),
        splits=listings,
        coding=coding,
        colours=colours,
        pixels=pixels,
        absent=sorted({*range(len(known))} - shown),
    )


def missing_files(root: str, pairs: Sequence[Pair], existing: Container[str]) -> list[str]:
    """Returns a fault for each file that does not exist."""
    return [f"{root}/{path}: does not exist" for pair in pairs for path in pair if path not in existing]


def _count(
    split: str, scanned: Sequence[Scanned], coding: Coding, background: str, findings: Findings, odd: list[OddMask]
) -> np.ndarray:
    """Returns the pixels of each class and of `IGNORE` in a split, `[256]`. Masks with values without a class are added
    to `odd`; ignored pixels are noted where they are many, and where a mask shows nothing but them and the first class.
    """
    total = np.zeros(256, np.int64)
    empty: list[str] = []
    for (_, mask), path, scan in scanned:
        try:
            values = scan.stored(coding)
        except UnknownColour as error:
            odd.append(OddMask(path, str(error)))
            continue
        indices = coding.classes(values)
        counts = np.bincount(indices, scan.counts, minlength=256).astype(np.int64)
        if counts[NO_CLASS]:
            unknown = unknown_values(values, coding)
            odd.append(OddMask(path, without_class(unknown, coding), unknown))
        if counts[0] and counts[IGNORE] and not counts[1:NO_CLASS].any():
            empty.append(mask)
        total += counts
    nothing = f"nothing but {background!r} and ignored pixels"
    findings.note(f"masks of {split} that show {nothing}", empty, "mask without objects", f"shows {nothing}")
    if (share := total[IGNORE] / max(1, total.sum())) >= NOTABLE:
        findings.notes.append(
            f"{findings.name}: {share:.0%} of the pixels of {split} are ignored{_ignored_values(coding)}"
        )
    return total


def _note_missing(names: Sequence[str], pixels: np.ndarray, coding: Coding, findings: Findings, *, fault: bool) -> None:
    """Reports the classes that no training mask shows. pixels `[256]`: of the classes and of `IGNORE`."""
    missing = [name for name, count in zip(names, pixels, strict=False) if not count]
    if not fault:
        findings.note("classes that no training mask shows", missing)
        return
    ignored = f", or give it its value in classes.csv if it is one of those ignored{_ignored_values(coding)}"
    findings.faults += [
        f"{findings.root}: no training mask shows the class {name!r}; remove it or add images"
        f"{ignored if pixels[IGNORE] else ''}"
        for name in missing
    ]


def _ignored_values(coding: Coding) -> str:
    values = np.flatnonzero(coding.codes == IGNORE)
    return f" (value {', '.join(map(str, values))})" if len(values) < 4 else ""


def _orientations(pairs: Sequence[Pair], scanned: Sequence[Scanned], findings: Findings, channels: int) -> np.ndarray:
    """Returns the EXIF orientation that each mask needs, `[N]` uint8; adds images of another size to the faults."""
    sizes = {each.pair: each.scan.size for each in scanned}
    headers = _headers(sizes, findings, channels)
    if len(sizes) < len(pairs) and any(header and header.orientation > 1 for header in headers):
        masks = read_headers([Entry(mask, None, mask) for _, mask in pairs], findings.root, 1)
        sizes = {
            pair: (mask.height, mask.width)
            for pair, mask in zip(pairs, masks, strict=True)
            if not isinstance(mask, DataError)
        }
        headers = _headers(sizes, findings, channels)
    entries = [Entry(image, size, f"{findings.root}/{mask}") for (image, mask), size in sizes.items()]
    orientations, mismatched = orient(entries, headers, findings)
    for index in mismatched:
        header, (height, width) = headers[index], list(sizes.values())[index]
        if header:
            findings.faults.append(
                f"{entries[index].name}: is {width} x {height} pixels, but its image {header.width} x {header.height}; "
                "resize the mask to that without interpolation"
            )
    needed = dict(zip(sizes, orientations, strict=True))
    return np.array([needed.get(pair, 1) for pair in pairs], np.uint8)


def _headers(pairs: Iterable[Pair], findings: Findings, channels: int) -> list[Header | None]:
    """Reads the headers of the images; an unreadable one becomes a fault."""
    headers = read_headers([Entry(image, None, image) for image, _ in pairs], findings.root, channels)
    findings.faults += [str(header) for header in headers if isinstance(header, DataError)]
    return [None if isinstance(header, DataError) else header for header in headers]
