"""Runs OpenVINO's models: `model.xml`, the graph, with `model.bin`, its weights, next to it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_tl.checkpoint import KEY
from resnet_tl.errors import WeightsError
from resnet_tl.extras import require
from resnet_tl.prediction.exported.network import Runtime

MODEL = "model.xml"
DESCRIPTION, DIGEST = ["framework", KEY], ["framework", f"{KEY}_bin"]
"""Where a model's `rt_info` has the description, and the SHA-256 of its weights."""


def open_openvino(path: Path) -> tuple[Runtime, str | None]:
    """Returns a runtime on as many threads as torch has, and the model's description.

    Raises:
        RunError: OpenVINO is not installed.
        WeightsError: not a valid model; its weights are missing, damaged, or of another.
    """
    require(f"{path}: an OpenVINO model", "openvino", extra="openvino")
    try:
        model = read_model(path)
        options = {
            "INFERENCE_PRECISION_HINT": "f32",  # the default is bf16 on CPUs that have it
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        request = _core().compile_model(model, "CPU", options).create_infer_request()
    except RuntimeError as error:
        raise WeightsError(f"{path}: not readable as an OpenVINO model ({_reason(error)})") from None
    lock = Lock()

    def run(images: NDArray[np.uint8]) -> list[NDArray[Any]]:
        with lock:  # a request takes one call at a time
            return list(request.infer([images]).to_tuple())

    return run, model.get_rt_info(DESCRIPTION).value if model.has_rt_info(DESCRIPTION) else None


@cache
def _core() -> Any:
    """Returns the one core of this process.

    Each has a signal stack of its own from its first compiled model on, and puts the stack before it back at its end:
    after the first of two, the stack of a core that is gone, on which the next signal crashes the process
    (OpenVINO 2026.4).
    """
    with without_telemetry():
        import openvino
    return openvino.Core()


def read_model(path: Path) -> Any:
    """Returns a model with its own weights, checked. Raises RuntimeError, too: it is not valid."""
    with without_telemetry():
        from openvino.frontend import FrontEndManager
    reader = FrontEndManager().load_by_framework("ir")  # OpenVINO's own form alone, where its default tries all others
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise WeightsError(f"{path}: its weights are missing; expected {weights.name} next to it")
    model = reader.convert(reader.load(str(path)))
    if model.has_rt_info(DIGEST) and model.get_rt_info(DIGEST).value != digest(weights):
        raise WeightsError(f"{weights}: not the weights of {path.name}; copy both files again")
    return model


def digest(weights: Path) -> str:
    """Returns the SHA-256 of a file, by which a graph knows its weights."""
    content = hashlib.sha256()
    with open(weights, "rb") as file:
        while part := file.read(1 << 20):
            content.update(part)
    return content.hexdigest()


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Keeps OpenVINO and NNCF, where they are imported within, from reporting their use to their makers."""
    name = "openvino_telemetry"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # its import fails, which both are prepared for
    try:
        yield
    finally:
        del sys.modules[name]


def _reason(error: RuntimeError) -> str:
    """Returns the last line of OpenVINO's errors; those before say where in its source."""
    return str(error).strip().splitlines()[-1]
