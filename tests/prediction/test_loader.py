"""Images are decoded ahead, in order, and only so far."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.limits import at_most
from resnet_tl.errors import DataError
from resnet_tl.prediction.loader import AHEAD, Loader


class Counting:
    """Leaves images as they are; counts those begun, late ones first."""

    def __init__(self, delays: list[float] | None = None) -> None:
        self.begun: list[int] = []
        self.delays = delays or []

    def __call__(self, image: ImageArray, original: tuple[int, int], seed: tuple[int, ...]) -> ImageArray:
        number = int(image[0, 0, 0])
        self.begun.append(number)
        if number < len(self.delays):
            time.sleep(self.delays[number])
        return image[None]

    def reduction(self, original: tuple[int, int], seed: tuple[int, ...]) -> int:
        return 1


def numbered(count: int) -> list[ImageArray]:
    return [np.full((2, 3, 3), number, np.uint8) for number in range(count)]


@settings(deadline=None)  # threads begin late on a busy machine
@given(st.integers(0, 20), st.integers(1, 9), st.integers(1, 4))
def test_batches_cover_all_images_in_order(count: int, batch_size: int, threads: int) -> None:
    loader = Loader(Counting(), 3, threads=threads)
    batches = list(loader.batches(numbered(count), batch_size, "error"))
    assert [each.index for batch in batches for each in batch] == list(range(count))
    assert all(int(each.pixels[0, 0, 0]) == each.index for batch in batches for each in batch)
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)


def test_slow_images_hold_their_place() -> None:
    loader = Loader(Counting([0.1, 0.05, 0.0]), 3, threads=3)
    assert [each.index for batch in loader.batches(numbered(6), 1, "error") for each in batch] == list(range(6))


@pytest.mark.parametrize("batch_size", [1, 6])
def test_the_next_images_are_decoded_while_a_batch_is_used_and_not_all(batch_size: int) -> None:
    transform = Counting()
    batches = Loader(transform, 3, threads=2).batches(numbered(100), batch_size, "error")
    next(batches)
    ahead = max(batch_size, AHEAD)
    deadline = time.monotonic() + 30
    while len(transform.begun) < batch_size + ahead and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert sorted(transform.begun) == list(range(batch_size + ahead))
    batches.close()
    time.sleep(0.05)
    assert len(transform.begun) == batch_size + ahead


def test_threads_end_with_the_last_image_and_with_an_abandoned_stream() -> None:
    before = threading.active_count()
    for consumed in (1, 10):
        batches = Loader(Counting(), 3).batches(numbered(10), 1, "error")
        for _ in range(consumed):
            next(batches)
        batches.close()
        assert threading.active_count() <= before


def test_an_unusable_image_ends_it_or_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    sources = [*numbered(2), str(tmp_path / "cut.png"), *numbered(1)]
    loader = Loader(Counting(), 3)
    with pytest.raises(DataError, match=r"cut\.png"):
        list(loader.batches(sources, 2, "error"))
    with pytest.warns(UserWarning, match=r"^skipped: .*cut\.png"):
        batches = list(loader.batches(sources, 2, "skip"))
    assert [[each.index for each in batch] for batch in batches] == [[0, 1], [3]]


@pytest.mark.parametrize("keep", [False, True])
def test_whole_images_are_kept_on_request_alone(keep: bool) -> None:
    loader = Loader(Counting(), 3, keep_images=keep)
    ((one,),) = loader.batches(numbered(1), 1, "error")
    assert (one.image is not None) is keep
    assert one.path is None


def test_the_callers_limits_hold_for_what_is_decoded_ahead() -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 10)).save(file, "PNG")
    loader = Loader(Counting(), 3)
    assert loader.load(file.getvalue(), 0).size == (10, 20)
    with (
        at_most(100),
        pytest.raises(DataError, match=r"^image 0: is 20 x 10 pixels, too large: at most 100 are decoded$"),
    ):
        list(loader.batches([file.getvalue()], 1, "error"))
