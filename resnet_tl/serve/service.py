"""What is answered to whom: requests become images, images predictions and explanations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response

from resnet_tl.data.images.limits import at_most
from resnet_tl.explain.explain import Explanation
from resnet_tl.prediction.load import AnyPredictor
from resnet_tl.serve.about import Model, abilities, about
from resnet_tl.serve.answers import answer
from resnet_tl.serve.batching import Batcher
from resnet_tl.serve.bodies import Intake, gone, images_in, is_file
from resnet_tl.serve.counters import CONTENT_TYPE, Counters
from resnet_tl.serve.explanation import explained, obstacle, png
from resnet_tl.serve.gate import Traffic
from resnet_tl.serve.refused import Refused
from resnet_tl.serve.settings import Settings

T = TypeVar("T")


class Service:
    """Answers requests with one predictor."""

    def __init__(self, predictor: AnyPredictor, settings: Settings, model: Model) -> None:
        self.predictor, self.settings, self.model = predictor, settings, model
        self.traffic, self.counters = Traffic(), Counters()
        self.intake = Intake(settings)
        self.batcher = Batcher(predictor, settings, self.counters.batches.observe)
        self.can = abilities(predictor)

    def close(self) -> None:
        """Ends the threads, after what they are doing."""
        self.batcher.close()

    async def health(self) -> dict[str, str]:
        return {"status": "ok"}

    async def about(self) -> dict[str, Any]:
        return about(self.model, self.predictor, self.can, self.settings)

    async def metrics(self) -> Response:
        return Response(self.counters.text(self.batcher.waiting), media_type=CONTENT_TYPE)

    async def predict(
        self,
        request: Request,
        score: Annotated[float | None, Query(description="Detection: the lowest score of objects, 0 to 1")] = None,
        top: Annotated[int | None, Query(description="Classification: how many classes to name (5)")] = None,
        masks: Annotated[Literal["polygons", "none"], Query(description="Detection: outlines of masks")] = "polygons",
    ) -> Response:
        """One or many images: one as the body, many as a form with the field `files`, or as base64 in JSON. Returns
        their predictions in order."""
        options = self.predictor.options(score=score, top=top, unsure=self.can.unsure)

        async def predict(images: list[bytes]) -> list[dict[str, Any]]:
            predicted = await self.batcher.predict(images, options)
            call = partial(answer, predictor=self.predictor, outlines=masks == "polygons")
            # Names and scores are quicker written than handed to a thread; outlines and masks are not.
            if self.predictor.task in ("classification", "regression"):
                return list(map(call, predicted))
            return await self.batcher.run_aside(lambda: list(map(call, predicted)))

        return JSONResponse({"predictions": await self._answer(request, predict, self.settings.max_images)})

    async def explain(
        self,
        request: Request,
        label: Annotated[str | None, Query(alias="class", description="This class, whether predicted or not")] = None,
    ) -> Response:
        """Which parts of one image its best prediction comes from, or that of a class: a PNG with a heat map."""

        async def explain(images: list[bytes]) -> bytes:
            explanation = await self.batcher.run_network(lambda: self._explained(images[0], label))
            return await self.batcher.run_aside(lambda: png(explanation))

        if (error := obstacle(self.predictor)) is not None:
            raise Refused(404, str(error))
        return Response(await self._answer(request, explain, 1), media_type="image/png")

    async def _answer(self, request: Request, call: Callable[[list[bytes]], Coroutine[Any, Any, T]], most: int) -> T:
        """Returns what `call` makes of the request's images."""
        self.batcher.check_room(1)
        async with self.intake.body(request) as body:
            kind = request.headers.get("content-type", "")
            taken = partial(images_in, body, kind, most)
            images = taken() if is_file(kind) else await self.batcher.run_aside(taken)
            with self.batcher.admitted(len(images)):
                return await self._in_time(request, call(images))

    async def _in_time(self, request: Request, call: Coroutine[Any, Any, T]) -> T:
        """Waits for a call, but not longer than the timeout, or than there is somebody to answer."""
        seconds, work = self.settings.timeout_s, asyncio.ensure_future(call)
        leaving = asyncio.ensure_future(_left(request))
        try:
            done, _ = await asyncio.wait({work, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if work in done:
                return work.result()
            raise gone() if done else Refused(504, f"there was no prediction within {seconds:g} seconds; try again")
        finally:
            work.cancel()
            leaving.cancel()

    def _explained(self, data: bytes, label: str | None) -> Explanation:
        with at_most(self.settings.max_pixels):
            return explained(self.predictor, data, label)


async def _left(request: Request) -> None:
    """Returns when the client has closed the connection. Its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
