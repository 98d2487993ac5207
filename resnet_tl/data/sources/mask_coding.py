"""What the values of a set's masks mean: decided once for the whole set, from all masks that were scanned."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, NoReturn

import numpy as np

from resnet_tl.data.images.class_masks import NO_CLASS, Coding, is_grey
from resnet_tl.data.listings.faults import raise_or_keep
from resnet_tl.data.sources.class_list import ClassList, is_void, of_values, read_classes
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.mask_scan import DARK, LIGHT, MaskScan, Scanned, Scans
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

DEEP = (1 << 16) - 1
"""White, or what is ignored, in masks of 16 bits."""

BLACK_AND_WHITE = (frozenset({0, IGNORE}), frozenset({0, DEEP}), frozenset({0, IGNORE, DEEP}))

PLATEAU_OF_BETWEEN, PLATEAU_OF_ALL = 0.05, 0.002
"""Largest shares, of the pixels between black and white and of all, that may have neighbours of their own value. More
of them are a third class, not blurred edges."""

SHADES = 3
"""Values between black and white that masks with blurred edges have at least, if none is a JPEG."""


class UnlistedColours(DataError):
    """Masks in colours that no class file lists.

    class_file: the text of one that lists those found, to be renamed.
    """

    def __init__(self, message: str, class_file: str) -> None:
        super().__init__(message)
        self.class_file = class_file


class Reading(NamedTuple):
    """The classes of a set's masks, and how the pixels of the files map to them."""

    classes: ClassList
    coding: Coding


def decide(
    scans: Scans,
    class_file: str | None,
    ignore: Sequence[int] | None,
    findings: Findings,
    known: Sequence[str] | None = None,
) -> Reading:
    """Decides how masks are read; where that is not what a class file says, a note gives the reason.

    Args:
        scans: the masks.
        class_file: see `read_classes`; None: the classes are the values found.
        ignore: values to ignore; None: 255 (and 65535 in 16 bits), unless the masks are black and white or the class
            file names it as a class.
        findings: receives notes; its faults are part of an error.
        known: a checkpoint's classes, for masks without a class file.

    Raises:
        DataError: the masks cannot be read; with the faults found before.
    """
    scanned = [each for of_split in scans.values() for each in of_split]
    if not scanned:
        _refuse(f"{findings.name}: has no image with a mask that can be read", findings)
    lines = None if class_file is None else read_classes(class_file, ())
    ignored = _ignored_by_default(lines) if ignore is None else tuple(ignore)
    if lines is not None and lines.by_colour and (lines.palettes or _coloured(scanned) or _palettes_differ(scanned)):
        listed = _listed(str(class_file), lines, ignored, findings)
        return Reading(listed, listed.coding(ignored)._replace(palettes=lines.palettes or _palettes_differ(scanned)))
    _refuse_colours(scanned, findings)
    values = sorted({int(value) for each in scanned for value in _grey_values(each.scan)})
    two = _two_classes(lines, ignored, values, known) if ignore is None else None
    if two is not None and frozenset(values) in BLACK_AND_WHITE:
        return _black_and_white(two, values, findings)
    if two is not None and _has_blurred_edges(scanned):
        return _blurred(two, scanned, findings)
    _refuse_lossy(scanned, findings, two is not None)
    if lines is not None:
        listed = _listed(str(class_file), lines, ignored, findings)
        _check_values(scanned, listed, values, ignored, str(class_file), findings)
    else:
        listed = _named_by_values(values, ignored, known, findings)
    return Reading(listed, listed.coding(ignored))


def _ignored_by_default(lines: ClassList | None) -> tuple[int, ...]:
    if lines is None or IGNORE not in lines.ids or is_void(lines.names[lines.ids.index(IGNORE)]):
        return IGNORE, DEEP
    return (DEEP,)


def _listed(class_file: str, lines: ClassList, ignored: Sequence[int], findings: Findings) -> ClassList:
    """Returns the classes of a class file's lines that are not ignored, and notes those that are."""
    skipped = [f"{value} {name!r}" for value, name in zip(lines.ids, lines.names, strict=True) if value in ignored]
    if skipped:
        findings.notes.append(
            f"{class_file}: {', '.join(skipped)} {'is' if len(skipped) == 1 else 'are'} ignored, not a class "
            "(data.ignore: [] makes all its lines classes)"
        )
    return read_classes(class_file, ignored)


def _two_classes(
    lines: ClassList | None, ignored: Iterable[int], values: Sequence[int], known: Sequence[str] | None
) -> ClassList | None:
    """Returns the classes in the order black, white if there are two; None: there are more."""
    if lines is None:
        names = known or ("0", str(DEEP if DEEP in values else IGNORE))
        return of_values((0, 1), names) if len(names) == 2 else None
    not_ignored = [value for value in lines.ids if value not in ignored]
    ids = not_ignored if len(not_ignored) == 2 else lines.ids
    return lines.select(sorted(ids)) if len(ids) == 2 else None


def _black_and_white(two: ClassList, values: Sequence[int], findings: Findings) -> Reading:
    white = values[1:]
    table = np.full(256 if white[-1] == IGNORE else DEEP + 1, NO_CLASS, np.uint8)
    table[0], table[white] = 0, 1
    listed = " and ".join(map(str, white))
    findings.notes.append(
        f"{findings.name}: the masks hold 0 and {listed} alone, so {listed} is the class {two.names[1]!r} "
        f"(data.ignore: {white} ignores it)"
    )
    return Reading(two, Coding(table, {}))


def _blurred(two: ClassList, scanned: Sequence[Scanned], findings: Findings) -> Reading:
    table = np.zeros(256, np.uint8)
    table[128:] = 1
    between, pixels = sum(each.scan.between for each in scanned), sum(each.scan.pixels for each in scanned)
    lossy = sum(each.scan.lossy for each in scanned)
    reason = f" ({lossy} of {len(scanned)} are JPEG)" if lossy else ""
    findings.notes.append(
        f"{findings.name}: the masks are black and white with blurred edges{reason}: values from 128 on are "
        f"{two.names[1]!r}, the others {two.names[0]!r}; {between:,} pixels ({between / pixels:.2%}) were uncertain"
    )
    return Reading(two, Coding(table, {}))


def _named_by_values(
    values: Sequence[int], ignored: Sequence[int], known: Sequence[str] | None, findings: Findings
) -> ClassList:
    """Returns the classes of masks without a class file."""
    if known is not None and not all(name.isdecimal() for name in known):
        findings.notes.append(f"{findings.name}: no class file: values are the checkpoint's classes, in their order")
        return of_values(range(len(known)), known)
    shown = [value for value in values if value not in ignored]
    skipped = [value for value in values if value in ignored]
    ids = shown if known is None else sorted({*shown, *map(int, known)})
    if not 2 <= len(ids) < NO_CLASS:
        held = f"{len(ids)} value{'' if len(ids) == 1 else 's'} besides those ignored, which cannot be the classes"
        ignored_alone = f"{_few(skipped)} alone, which is ignored (colours are read, transparency is not)"
        _refuse(
            f"{findings.name}: the masks hold {held if ids else ignored_alone}; expected 2 to {NO_CLASS - 1} values, "
            "or add classes.txt (a name per line) or classes.csv (id,name,colour)",
            findings,
        )
    if known is None:
        also = f"; {_few(skipped)} is ignored (a line of classes.csv or data.ignore: [] makes it a class)"
        findings.notes.append(
            f"{findings.name}: no class file (classes.txt, a name per line): the classes are the values "
            f"{_few(ids)}{also if skipped else ''}"
        )
    return of_values(ids)


def _few(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:20])) + (", ..." if len(values) > 20 else "")


def _check_values(
    scanned: Sequence[Scanned],
    listed: ClassList,
    values: Sequence[int],
    ignored: Sequence[int],
    class_file: str,
    findings: Findings,
) -> None:
    """Raises DataError if most masks hold values without a class, of which there are as many as classes: the class file
    numbers its classes differently."""
    known = {*listed.ids, *ignored}
    odd = sum(not known.issuperset(_grey_values(each.scan).tolist()) for each in scanned)
    shown = [value for value in values if value not in ignored]
    ids = next((ids for ids in (shown, values) if len(ids) == len(listed.names)), None)
    if 2 * odd <= len(scanned) or ids is None:
        return
    lines = "; ".join(f"{value},{name}" for value, name in zip(ids, listed.names, strict=True))
    _refuse(
        f"{findings.name}: {odd} of {len(scanned)} masks hold values of no class: they have {_few(values)}, but the "
        f"classes of {class_file} are {_few(listed.ids)}; expected classes.csv with the masks' values as ids, one a "
        f"line (id,name; {lines})",
        findings,
    )


def _grey_values(scan: MaskScan) -> np.ndarray:
    """The values of a mask that is not in colours: those of the channels where they are equal."""
    return scan.values & 0xFF if scan.kind == "colour" else scan.values


def _coloured(scanned: Iterable[Scanned]) -> list[Scanned]:
    return [each for each in scanned if each.scan.kind == "colour"]


def _refuse_colours(scanned: Sequence[Scanned], findings: Findings) -> None:
    """Raises DataError if the masks are in colours, which are not listed where this is called. A few of them among
    others are faults, each."""
    coloured = [each for each in _coloured(scanned) if not is_grey(each.scan.values).all()]
    if 2 * len(coloured) < len(scanned):
        coloured = []
    if coloured and all(each.scan.lossy for each in coloured):
        first = coloured[0].path
        _refuse(f"{first}: is a JPEG in colours, which its compression mixes; expected PNG", findings)
    if _palettes_differ(scanned):
        coloured = [each for each in scanned if each.scan.kind != "grey"]
    if not coloured:
        return
    counts: Counter[int] = Counter()
    for each in coloured:
        colours = each.scan.colours if each.scan.kind == "palette" else each.scan.values
        counts.update(dict(zip(colours.tolist(), each.scan.counts.tolist(), strict=True)))
    if len(counts) >= NO_CLASS:
        _refuse(
            f"{coloured[0].path}: is in colours, of which the masks have {len(counts):,}; expected at most "
            f"{NO_CLASS - 1}, one for each class",
            findings,
        )
    total = sum(counts.values())
    few = ", ".join(f"#{colour:06x} {count / total:.1%}" for colour, count in counts.most_common(8))
    more = ", ..." if len(counts) > 8 else ""
    raise UnlistedColours(
        f"{findings.name}: the masks are in {len(counts)} colours ({few}{more}) that no class file names; expected "
        f"{findings.root}/classes.csv with the columns id, name, colour: `resnet-tl data check {findings.root} "
        f"--write {findings.root}/classes.csv` writes it, for you to name them",
        _class_file(counts),
    )


def _class_file(counts: Counter[int]) -> str:
    """A classes.csv of colours: black first, then the others by their pixels, named after themselves."""
    order = sorted(counts, key=lambda colour: (colour != 0, -counts[colour], colour))
    text = io.StringIO()
    rows = [(index, f"#{colour:06x}", f"#{colour:06x}") for index, colour in enumerate(order)]
    csv.writer(text, lineterminator="\n").writerows([("id", "name", "colour"), *rows])
    return text.getvalue()


def _palettes_differ(scanned: Iterable[Scanned]) -> bool:
    """Whether palettes are permuted, so that indices mean nothing: a colour has two indices, an index two colours."""
    used = {
        pair
        for each in scanned
        if each.scan.kind == "palette"
        for pair in zip(each.scan.values.tolist(), each.scan.colours.tolist(), strict=True)
    }
    return all(len({pair[side] for pair in used}) < len(used) for side in (0, 1))


def _has_blurred_edges(scanned: Sequence[Scanned]) -> bool:
    """Whether all masks are black and white, except that some have edges between: by compression or resizing."""
    values = np.unique(np.concatenate([_grey_values(each.scan) for each in scanned] or [np.zeros(0, np.int64)]))
    if not len(values) or values[0] > DARK or values[-1] < LIGHT or values[-1] > IGNORE:
        return False
    if not any(each.scan.lossy for each in scanned) and ((values > DARK) & (values < IGNORE)).sum() < SHADES:
        return False
    return not any(_has_third_value(each.scan) for each in scanned)


def _has_third_value(scan: MaskScan) -> bool:
    brightest = int(_grey_values(scan).max())
    many = scan.plateaus > max(PLATEAU_OF_BETWEEN * scan.between, PLATEAU_OF_ALL * scan.pixels)
    return many or 0 < brightest < LIGHT


def _refuse_lossy(scanned: Sequence[Scanned], findings: Findings, two: bool) -> None:
    """Raises DataError if masks are JPEG: they are not black and white, or there are more than two classes."""
    lossy = [each for each in scanned if each.scan.lossy]
    if not lossy:
        return
    odd = next((each.path for each in scanned if _has_third_value(each.scan)), None)
    which = f", and {odd} is not" if two and odd else ""
    _refuse(
        f"{lossy[0].path}: is a JPEG, whose compression changes values, so that only two classes in black and white (0 "
        f"and 255, without data.ignore) can be read from it{which}; expected PNG",
        findings,
    )


def _refuse(fault: str, findings: Findings) -> NoReturn:
    raise_or_keep(findings.name, {**findings.faults_by_image(), fault: ""} if findings.faults else {})
    raise DataError(fault)
