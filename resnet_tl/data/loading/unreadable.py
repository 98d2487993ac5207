"""Names all images of a set that cannot be read when one of them has ended the run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from resnet_tl.data.images.dataset import ImageDataset
from resnet_tl.data.listings.faults import with_faults
from resnet_tl.errors import DataError

SECONDS = 30
"""How long images are read, on all cores."""
CHUNK = 64
"""Images that are read between two looks at the clock."""
REPAIR = "; repair or remove such images, or skip them by data.on_error skip"


def all_unreadable(root: str, datasets: Sequence[ImageDataset], first: DataError) -> DataError:
    """Returns an error about the images that cannot be read, as many as are found in `SECONDS`; `first` if none is."""
    end, faults, read = time.monotonic() + SECONDS, list[str](), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for dataset, chunk in _chunks(datasets):
            if time.monotonic() > end:
                break
            faults += [reason for reason in pool.map(dataset.reason, chunk) if reason]
            read += len(chunk)
    total = sum(map(len, datasets))
    partly = f" ({read:,} of {total:,} images were read; `resnet-tl data check` reads all)" if read < total else ""
    if not faults:
        return first
    if len(faults) == 1:
        return DataError(f"{faults[0]}{REPAIR}{partly}")
    return DataError(with_faults(root, faults, REPAIR + partly))


def _chunks(datasets: Iterable[ImageDataset]) -> Iterable[tuple[ImageDataset, range]]:
    for dataset in datasets:
        for start in range(0, len(dataset), CHUNK):
            yield dataset, range(start, min(start + CHUNK, len(dataset)))
