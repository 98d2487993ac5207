"""The web application around a predictor: predictions, explanations, what it is, how it does, and a page to try it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from resnet_tl.data.images.limits import at_most
from resnet_tl.errors import DataError, RecipeError, UserError
from resnet_tl.explain.explain import Explanation
from resnet_tl.prediction.load import AnyPredictor
from resnet_tl.serve.about import Model, abilities, about
from resnet_tl.serve.answers import answer
from resnet_tl.serve.batching import Batcher
from resnet_tl.serve.bodies import Intake, images_in
from resnet_tl.serve.counters import CONTENT_TYPE, Counters
from resnet_tl.serve.documentation import documentation
from resnet_tl.serve.explanation import explained, obstacle, png
from resnet_tl.serve.gate import Gate, Traffic, refusal
from resnet_tl.serve.refused import Refused
from resnet_tl.serve.settings import Settings

T = TypeVar("T")

PAGE = Path(__file__).parent / "page"

BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {"images": {"type": "array", "items": {"type": "string", "format": "byte"}}},
                }
            },
        },
    }
}
"""What predicting requests take, for OpenAPI: the bodies are read without FastAPI, which writes large ones to disk."""


def create_app(predictor: AnyPredictor, settings: Settings = Settings(), model: Model = Model("model", {})) -> FastAPI:
    """Returns the application. Run it in one process: its state is in memory.

    Its `state.service` has `traffic`, by which whoever runs it shuts it down gracefully, and `close`.
    """
    service = Service(predictor, settings, model)
    app = FastAPI(title=model.name, docs_url=None, redoc_url=None)
    app.state.service = service
    app.get("/health", summary="Whether the server takes requests")(service.health)
    app.get("/model", summary="Classes, preprocessing, metrics and limits")(service.about)
    app.get("/metrics", summary="Counts, as Prometheus reads them", response_class=Response)(service.metrics)
    app.post("/predict", summary="Predict images", openapi_extra=BODIES)(service.predict)
    app.post("/explain", summary="A heat map over one image", openapi_extra=BODIES, response_class=Response)(
        service.explain
    )
    app.add_route("/docs", documentation)
    for file in PAGE.iterdir():
        app.add_route("/" if file.name == "index.html" else f"/{file.name}", partial(_file, file))
    paths = frozenset(route.path for route in app.routes if isinstance(route, Route))
    app.add_middleware(Gate, settings=settings, traffic=service.traffic, counters=service.counters, paths=paths)
    app.exception_handler(Refused)(_refused)
    app.exception_handler(UserError)(_user_error)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http_error)
    return app


class Service:
    """Answers requests with one predictor."""

    def __init__(self, predictor: AnyPredictor, settings: Settings, model: Model) -> None:
        self.predictor, self.settings, self.model = predictor, settings, model
        self.traffic, self.counters = Traffic(), Counters()
        self.intake = Intake(settings)
        self.batcher = Batcher(predictor, settings, self.counters.batches.observe)
        self.can = abilities(predictor)

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
        masks: Annotated[
            Literal["polygons", "none"],
            Query(description="Detection: whether objects have the outlines of their masks"),
        ] = "polygons",
    ) -> Response:
        """One or many images: one as the body, many as a form with the field `files`, or as base64 in JSON. Returns
        their predictions in order."""
        options = self.predictor.options(score=score, top=top, unsure=self.can.unsure)

        async def predict(images: list[bytes]) -> list[dict[str, Any]]:
            predicted = await self.batcher.predict(images, options)
            call = partial(answer, predictor=self.predictor, outlines=masks == "polygons")
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

    async def _answer(self, request: Request, call: Callable[[list[bytes]], Awaitable[T]], most: int) -> T:
        """Returns what `call` makes of the request's images."""
        self.batcher.check_room(1)
        async with self.intake.body(request) as body:
            kind = request.headers.get("content-type", "")
            images = await self.batcher.run_aside(lambda: images_in(body, kind, most))
            with self.batcher.admitted(len(images)):
                try:
                    return await asyncio.wait_for(call(images), self.settings.timeout_s)
                except (asyncio.TimeoutError, TimeoutError):
                    seconds = f"{self.settings.timeout_s:g}"
                    raise Refused(504, f"there was no prediction within {seconds} seconds; try again") from None

    def _explained(self, data: bytes, label: str | None) -> Explanation:
        with at_most(self.settings.max_pixels):
            return explained(self.predictor, data, label)


async def _file(file: Path, request: Request) -> Response:
    return FileResponse(file)


async def _refused(request: Request, refused: Refused) -> Response:
    return refusal(refused)


async def _user_error(request: Request, error: UserError) -> Response:
    mistaken = isinstance(error, (DataError, RecipeError))
    return refusal(Refused(422 if mistaken else 500, str(error)))


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    return refusal(Refused(422, f"{first['loc'][-1]}: {first['input']!r} is not valid: {first['msg'].lower()}"))


async def _http_error(request: Request, error: HTTPException) -> Response:
    return refusal(Refused(error.status_code, f"{request.method} {request.url.path}: {error.detail.lower()}"))
