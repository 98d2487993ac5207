"""The size of annotated images, and the EXIF orientation that their annotations need as well."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from resnet_tl.data.images.headers import Header, read_header
from resnet_tl.data.sources.findings import Findings
from resnet_tl.errors import DataError


class Entry(NamedTuple):
    """An image that exists. key: its path below the root. size: (h, w) as annotated, None where it is not given.
    name: what sentences about it begin with."""

    key: str
    size: tuple[int, int] | None
    name: str


def measure(entries: Sequence[Entry], channels: int, findings: Findings) -> tuple[np.ndarray, list[int]]:
    """Returns (h, w) of the upright images, `[N, 2]` int32, and the EXIF orientation that each one's annotations need.

    Every file's header is read; one of another size than annotated is a fault. See `orient`.
    """
    read = read_headers(entries, findings.root, channels)
    headers = [None if isinstance(header, DataError) else header for header in read]
    orientations, mismatched = orient(entries, headers, findings)
    for index in mismatched:
        header, entry = headers[index], entries[index]
        if header and entry.size:
            findings.faults.append(
                f"{entry.name}: is {header.width} x {header.height} pixels, but annotated as "
                f"{entry.size[1]} x {entry.size[0]}"
            )
    # An unreadable image keeps its annotated size; loading it will report it.
    sizes = [header[:2] if header else entry.size or (1, 1) for entry, header in zip(entries, headers, strict=True)]
    return np.array(sizes, np.int32).reshape(-1, 2), orientations


def read_headers(entries: Sequence[Entry], root: str, channels: int) -> list[Header | DataError]:
    """Reads the header of each image; the error where that fails."""

    def header_of(entry: Entry) -> Header | DataError:
        try:
            return read_header(os.path.join(root, entry.key), channels)
        except DataError as error:
            return error

    with ThreadPoolExecutor() as pool:
        return list(pool.map(header_of, entries))


def orient(
    entries: Sequence[Entry], headers: Sequence[Header | None], findings: Findings
) -> tuple[list[int], list[int]]:
    """Returns the EXIF orientation that each image's annotations need, and the indices of images of neither size.

    Where the annotated size is that of the file before its EXIF rotation, so are boxes and masks, and they are rotated
    with the image. Where both sizes are equal (mirrored, upside down or square images) an image is treated like the
    others of the split, and if these say nothing as annotated upright, which is how current programs display it.
    """
    pairs = list(zip(entries, headers, strict=True))
    frames = [_frame(*pair) for pair in pairs]
    rotating = {"file", "both"} if "file" in frames else {"file"}
    orientations = [
        header.orientation if header and frame in rotating else 1 for header, frame in zip(headers, frames, strict=True)
    ]
    rotated = [entry.key for entry, orientation in zip(entries, orientations, strict=True) if orientation > 1]
    findings.note("images rotated by their EXIF data, their annotations with them", rotated)
    return orientations, [index for index, frame in enumerate(frames) if frame == "neither"]


def _frame(entry: Entry, header: Header | None) -> str:
    """Returns which size was annotated: the `file`'s before its rotation, the `upright` image's, `both`, `neither`."""
    if header is None or entry.size is None:
        return "upright"
    upright = (header.height, header.width)
    in_file = upright[::-1] if header.orientation >= 5 else upright
    names = {(True, True): "both", (True, False): "upright", (False, True): "file", (False, False): "neither"}
    return names[entry.size == upright, entry.size == in_file]
