"""The web application around a predictor: predictions, explanations, what it is, how it does, and a page to try it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from resnet_tl.errors import DataError, RecipeError, UserError
from resnet_tl.prediction.load import AnyPredictor
from resnet_tl.serve.about import Model
from resnet_tl.serve.documentation import documentation
from resnet_tl.serve.gate import Gate, refusal
from resnet_tl.serve.refused import Refused
from resnet_tl.serve.service import Service
from resnet_tl.serve.settings import Settings

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

    Its `state.service` is the `Service`: whoever runs the application closes it, and may look at its `traffic`.
    """
    service = Service(predictor, settings, model)
    app = FastAPI(title=model.name, docs_url=None, redoc_url=None)
    app.state.service = service
    app.api_route("/health", methods=["GET", "HEAD"], summary="Whether the server takes requests")(service.health)
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
    app.exception_handler(Exception)(_bug)
    return app


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


async def _bug(request: Request, error: Exception) -> Response:
    return refusal(Refused(500, "the server failed on this request; its log says where"))
