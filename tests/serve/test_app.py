"""The web application: what it answers to whom."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.serve.conftest import encoded

PNG = {"Content-Type": "image/png"}


def test_health_and_model(client: Callable[..., Any]) -> None:
    with client(max_bytes=1000) as http:
        assert http.get("/health").json() == {"status": "ok"}
        model = http.get("/model").json()
    assert (model["task"], model["classes"]) == ("classification", ["ant", "bee", "cat"])
    assert model["preprocessing"]["size"] == 32
    assert model["limits"]["max_bytes"] == 1000
    assert model["options"]["unsure"] is False


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
def test_answers_equal_the_predictors(client: Callable[..., Any], predictor: Callable[..., Any], task: str) -> None:
    images = [encoded(seed, (40 + seed, 30)) for seed in range(3)]
    expected = predictor(task).predict(images)
    with client(task) as http:
        form = http.post("/predict", files=[("files", ("a.png", image)) for image in images])
        text = http.post("/predict", json={"images": [base64.b64encode(image).decode() for image in images]})
        single = [http.post("/predict", content=image, headers=PNG) for image in images]
    one_by_one = [answer.json()["predictions"][0] for answer in single]
    for found in (form.json()["predictions"], text.json()["predictions"], one_by_one):
        assert [(each["width"], each["height"]) for each in found] == [(40, 30), (41, 30), (42, 30)]
        for answer, prediction in zip(found, expected, strict=True):
            COMPARE[task](answer, prediction)


def same_classes(answer: dict[str, Any], prediction: Any) -> None:
    assert [each["name"] for each in answer["classes"]] == prediction.classes
    assert np.allclose([each["score"] for each in answer["classes"]], prediction.scores, atol=1e-6)
    assert answer["none_of_these"] is answer["possible"] is None


def same_objects(answer: dict[str, Any], prediction: Any) -> None:
    assert [each["name"] for each in answer["objects"]] == prediction.classes
    assert np.allclose([each["box"] for each in answer["objects"]], prediction.boxes, atol=1e-3)
    assert all(
        each["polygons"] for each, mask in zip(answer["objects"], prediction.masks, strict=True) if mask.pixels.any()
    )


def same_mask(answer: dict[str, Any], prediction: Any) -> None:
    mask = Image.open(io.BytesIO(base64.b64decode(answer["mask"])))
    assert mask.mode == "P"
    assert (np.array(mask) == prediction.mask).mean() > 0.99
    assert sum(area["share"] for area in answer["areas"]) == pytest.approx(1)


COMPARE = {"classification": same_classes, "detection": same_objects, "segmentation": same_mask}
