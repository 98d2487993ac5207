"""Dynamic batching: images of many requests are decoded in threads and go through the network together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from resnet_tl.data.images.limits import at_most
from resnet_tl.prediction.base import Options, Prediction
from resnet_tl.prediction.load import AnyPredictor
from resnet_tl.prediction.loader import AHEAD, Input
from resnet_tl.serve.refused import Refused
from resnet_tl.serve.settings import Settings

T = TypeVar("T")


class Predicted(NamedTuple):
    """size: (h, w) of the image in pixels."""

    prediction: Prediction
    size: tuple[int, int]


@dataclass
class _Waiting:
    """An image that is ready for the network. since: the loop's time when it became so."""

    input: Input
    options: Options
    answer: asyncio.Future[Prediction]
    since: float


class Batcher:
    """Predicts the images of many requests.

    They are decoded and preprocessed by the predictor's own loader, in threads, of which a bounded number is ahead of
    the network. One thread runs the network, on up to `predictor.batch_size` images at a time: those that are ready
    when it is free. Fewer wait for others, up to `settings.deadline_ms`, while others are being decoded.

    Attributes:
        waiting: images that are accepted and not yet answered.
    """

    def __init__(self, predictor: AnyPredictor, settings: Settings, on_batch: Callable[[int], None]) -> None:
        self.predictor, self.settings, self.on_batch = predictor, settings, on_batch
        self.waiting = 0
        self._size = predictor.batch_size
        self._decoders = ThreadPoolExecutor(predictor.loader.threads, "decoder")
        self._network = ThreadPoolExecutor(1, "network")
        self._ahead = asyncio.Semaphore(self._size + max(self._size, AHEAD))
        self._ready: deque[_Waiting] = deque()
        self._decoding, self._busy = 0, False

    def check_room(self, images: int) -> None:
        """Raises Refused if there is no room for so many images more."""
        if self.waiting + images > self.settings.queue:
            raise Refused(503, f"the server is full: {self.waiting} images are waiting; try again")

    @contextmanager
    def admitted(self, images: int) -> Iterator[None]:
        """Counts images as waiting while inside. Raises Refused if there is no room for them."""
        self.check_room(images)
        self.waiting += images
        try:
            yield
        finally:
            self.waiting -= images

    async def predict(self, images: Sequence[bytes], options: Options) -> list[Predicted]:
        """Returns the predictions for the bytes of image files, in order.

        Raises:
            DataError: one is not an image, or too large.
        """
        tasks = [asyncio.ensure_future(self._predict(data, index, options)) for index, data in enumerate(images)]
        try:
            return await asyncio.gather(*tasks)
        finally:  # also where one has failed or the request is cancelled: nothing more is decoded for it
            for task in tasks:
                task.cancel()

    async def run_network(self, call: Callable[[], T]) -> T:
        """Runs a call that uses the network, between batches."""
        return await asyncio.get_running_loop().run_in_executor(self._network, call)

    async def run_aside(self, call: Callable[[], T]) -> T:
        """Runs a call in one of the threads that decode."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, call)

    def close(self) -> None:
        """Ends the threads, after what they are doing."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._network.shutdown(wait=False, cancel_futures=True)

    async def _predict(self, data: bytes, index: int, options: Options) -> Predicted:
        loop = asyncio.get_running_loop()
        async with self._ahead:
            self._decoding += 1
            try:
                ready = await loop.run_in_executor(self._decoders, self._load, data, index)
                waiting = _Waiting(ready, options, loop.create_future(), loop.time())
                self._ready.append(waiting)
            finally:
                self._decoding -= 1
                self._start_batch()  # with this image, or without it if it was waited for and cannot be decoded
            return Predicted(await waiting.answer, ready.size)

    def _load(self, data: bytes, index: int) -> Input:
        with at_most(self.settings.max_pixels):
            return self.predictor.loader.load(data, index)

    def _start_batch(self) -> None:
        """Starts the next batch, if the network is free and no other image is worth waiting for."""
        while self._ready and self._ready[0].answer.cancelled():
            self._ready.popleft()
        if self._busy or not self._ready:
            return
        loop = asyncio.get_running_loop()
        left = self._ready[0].since + self.settings.deadline_ms / 1000 - loop.time()
        if len(self._ready) < self._size and self._decoding and left > 0:
            loop.call_later(left, self._start_batch)
            return
        taken = [self._ready.popleft() for _ in range(min(self._size, len(self._ready)))]
        batch = [each for each in taken if not each.answer.cancelled()]
        self._busy = True
        self.on_batch(len(batch))
        running = loop.run_in_executor(self._network, self._run, batch)
        running.add_done_callback(lambda done: self._finish(batch, done.result()))

    def _run(self, batch: Sequence[_Waiting]) -> list[Prediction | Exception]:
        """Returns the predictions, or what was raised in their place."""
        results: list[Prediction | Exception] = [KeyError()] * len(batch)
        for options in {each.options for each in batch}:
            chosen = [number for number, each in enumerate(batch) if each.options == options]
            for number, result in zip(chosen, self._predict_together([batch[n] for n in chosen], options), strict=True):
                results[number] = result
        return results

    def _predict_together(self, batch: Sequence[_Waiting], options: Options) -> Sequence[Prediction | Exception]:
        inputs = [replace(each.input, index=number) for number, each in enumerate(batch)]
        try:
            return self.predictor.predict_batch(inputs, options)
        except Exception as error:
            if len(batch) == 1:
                return [error]
        # An image that fails, as one for which there is no memory, does not take those of other requests with it.
        return [result for each in batch for result in self._predict_together([each], options)]

    def _finish(self, batch: Sequence[_Waiting], results: Sequence[Prediction | Exception]) -> None:
        for each, result in zip(batch, results, strict=True):
            if each.answer.cancelled():
                continue
            if isinstance(result, Exception):
                each.answer.set_exception(result)
            else:
                each.answer.set_result(result)
        self._busy = False
        self._start_batch()
