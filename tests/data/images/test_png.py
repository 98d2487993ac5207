"""Chunks of a PNG that claim more than the file has."""

from __future__ import annotations

import resource
from collections.abc import Callable

import numpy as np
import pytest

from resnet_tl.data.images.decode import decode_bytes
from resnet_tl.data.images.png import is_cut
from resnet_tl.errors import DataError


def test_a_chunk_that_claims_two_gigabytes_is_damage_and_takes_none(
    smooth: Callable[..., np.ndarray], encoded: Callable[..., bytes]
) -> None:
    data = encoded(smooth(), "PNG")
    assert not is_cut(data)
    assert not is_cut(data + b"what follows the end \xff\xff\xff\xff")
    assert is_cut(data[:-13])
    place = data.index(b"IDAT") - 4
    bomb = data[:place] + b"\x7f\xff\xff\xff" + data[place + 4 :]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="damaged"):
        decode_bytes(bomb, "a.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
