"""Images of many requests go through the network together, within bounds, and do not affect each other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from resnet_tl.errors import DataError
from resnet_tl.prediction.base import Prediction
from resnet_tl.serve.batching import Batcher, Predicted
from resnet_tl.serve.refused import Refused
from resnet_tl.serve.settings import Settings
from tests.serve.conftest import encoded

IMAGES = [encoded(seed) for seed in range(8)]


class Slow:
    """Holds the network until `go` is set."""

    def __init__(self, predictor: Any) -> None:
        self.predict, self.go, self.sizes = predictor.predict_batch, threading.Event(), list[int]()
        predictor.predict_batch = self

    def __call__(self, batch: Sequence[Any], options: Any) -> list[Prediction]:
        self.sizes.append(len(batch))
        assert self.go.wait(10)
        return self.predict(batch, options)


async def together(batcher: Batcher, images: Sequence[bytes], tops: Sequence[int] = (1,)) -> list[Any]:
    options = [batcher.predictor.options(top=top) for top in tops]
    calls = (batcher.predict([image], options[number % len(options)]) for number, image in enumerate(images))
    return await asyncio.gather(*calls, return_exceptions=True)


def test_images_that_wait_share_a_batch(predictor: Callable[..., Any]) -> None:
    ours = predictor("classification", batch_size=4)
    expected = ours.predict(IMAGES, batch_size=1)
    slow, seen = Slow(ours), list[int]()

    async def run() -> list[Any]:
        batcher = Batcher(ours, Settings(deadline_ms=0), seen.append)
        asyncio.get_running_loop().call_later(0.5, slow.go.set)
        return await together(batcher, IMAGES)

    found = asyncio.run(run())
    assert sum(slow.sizes) == 8
    assert slow.sizes[1] == 4  # those that came while the first batch ran
    assert slow.sizes == seen
    for number, (answer,) in enumerate(found):
        assert isinstance(answer, Predicted)
        assert answer.size == (30, 40)
        far = [abs(answer.prediction.probabilities - each.probabilities).max() for each in expected]
        assert far[number] == min(far) < 1e-5


def test_a_batch_waits_for_images_that_are_decoded_up_to_the_deadline(predictor: Callable[..., Any]) -> None:
    ours = predictor("classification", batch_size=8)
    load, sizes = ours.loader.load, list[int]()
    late = threading.Event()

    def slow_load(source: bytes, index: int) -> Any:
        assert source is IMAGES[0] or late.wait(10)
        return load(source, index)

    object.__setattr__(ours.loader, "load", slow_load)

    async def run(deadline_ms: float) -> None:
        batcher = Batcher(ours, Settings(deadline_ms=deadline_ms), sizes.append)
        asyncio.get_running_loop().call_later(0.5, late.set)
        await together(batcher, IMAGES[:3])

    asyncio.run(run(10_000))
    assert sizes == [3]
    late.clear()
    asyncio.run(run(1))
    assert sizes[1] == 1


def test_different_options_and_bad_images_in_one_batch(predictor: Callable[..., Any]) -> None:
    ours = predictor("classification", batch_size=4)

    async def run() -> list[Any]:
        return await together(Batcher(ours, Settings(), lambda size: None), [IMAGES[0], b"no image", IMAGES[1]], (1, 2))

    first, broken, second = asyncio.run(run())
    assert len(first[0].prediction.classes) == len(second[0].prediction.classes) == 1
    assert isinstance(broken, DataError)
    assert "image 0: not an image" in str(broken)


def test_an_image_that_fails_in_the_network_fails_alone(predictor: Callable[..., Any]) -> None:
    ours = predictor("classification", batch_size=8)
    predict = ours.predict_batch

    def failing(batch: Sequence[Any], options: Any) -> list[Prediction]:
        if any(each.size == (31, 40) for each in batch):
            raise MemoryError("no memory for its pixels")
        return predict(batch, options)

    ours.predict_batch = failing

    async def run() -> list[Any]:
        batcher = Batcher(ours, Settings(deadline_ms=5000), lambda size: None)
        return await together(batcher, [*IMAGES[:3], encoded(9, (40, 31))])

    *good, bad = asyncio.run(run())
    assert isinstance(bad, MemoryError)
    assert all(isinstance(each, list) for each in good)


def test_pixels_are_limited_by_the_header(predictor: Callable[..., Any]) -> None:
    async def run() -> list[Any]:
        batcher = Batcher(predictor("classification"), Settings(max_pixels=1000), lambda size: None)
        return await together(batcher, [IMAGES[0]])

    (error,) = asyncio.run(run())
    assert str(error) == "image 0: is 40 x 30 pixels, too large: at most 1,000 are decoded"


def test_a_full_queue_refuses_and_a_cancelled_request_leaves_room(predictor: Callable[..., Any]) -> None:
    ours = predictor("classification", batch_size=2)
    slow = Slow(ours)

    async def run() -> None:
        batcher = Batcher(ours, Settings(queue=3), lambda size: None)
        with batcher.admitted(2), pytest.raises(Refused, match=r"full: 2 images are waiting") as caught:
            batcher.check_room(2)
        assert caught.value.headers == {"Retry-After": "1"}
        assert batcher.waiting == 0
        task = asyncio.ensure_future(together(batcher, IMAGES))
        await asyncio.sleep(0.3)
        task.cancel()
        slow.go.set()
        assert len(await together(batcher, IMAGES)) == 8

    asyncio.run(run())
    assert sum(slow.sizes) <= 8 + 4  # most of the cancelled images never went through the network
