"""Applications around small networks of random weights, and images to send them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from resnet_tl.serve.app import create_app
from resnet_tl.serve.settings import Settings
from tests.prediction.conftest import network, predictor

__all__ = ["network", "predictor"]


def encoded(seed: int, size: tuple[int, int] = (40, 30), form: str = "PNG") -> bytes:
    """An image file of noise; size: (w, h)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


@pytest.fixture
def client(predictor: Callable[..., Any]) -> Callable[..., TestClient]:
    """`client("detection", queue=4)`: a client of an application with these settings."""

    def make(task: str = "classification", batch_size: int = 4, **settings: Any) -> TestClient:
        app = create_app(predictor(task, batch_size=batch_size), Settings(**settings))
        return TestClient(app, raise_server_exceptions=False)

    return make
