"""Which images of a split could be decoded: with `data.on_error: skip`, others take the place of those that cannot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from resnet_tl.structures.records import Batch


def with_decoded(batches: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor]]:
    """Yields the batches of `CacheableImages`, each with which of its images `[N]` are not another's copy.

    Steps of training need an image in every place. What counts each image once, as cross-validation, must not take a
    copy for an image of its own.
    """
    start = 0
    for batch in batches:
        places = torch.arange(start, start + len(batch), device=batch.indices.device)
        yield batch, batch.indices == places
        start += len(batch)
