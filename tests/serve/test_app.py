"""The web application: what it answers to whom."""

from __future__ import annotations

import base64
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.serve.conftest import encoded

PNG = {"Content-Type": "image/png"}


def test_health_and_model(client: Callable[..., Any]) -> None:
    with client(max_bytes=1000) as http:
        assert http.get("/health").json() == {"status": "ok"}
        assert http.head("/health").status_code == 200
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


@pytest.mark.parametrize(
    ("task", "query", "sentence"),
    [
        ("classification", "top=0", "top: 0; expected 1 or more"),
        ("classification", "top=a", "top: 'a' is not valid"),
        ("classification", "score=0.5", "score applies to detection, but this network does classification"),
        ("detection", "score=nan", "score: nan; expected 0 to 1"),
        ("detection", "masks=all", "masks: 'all' is not valid"),
    ],
)
def test_options_out_of_range(client: Callable[..., Any], task: str, query: str, sentence: str) -> None:
    answer = client(task).post(f"/predict?{query}", content=encoded(0), headers=PNG)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(sentence)


def test_options_are_those_of_the_predictor(client: Callable[..., Any]) -> None:
    answer = client().post("/predict?top=1", content=encoded(0), headers=PNG)
    assert len(answer.json()["predictions"][0]["classes"]) == 1
    objects = client("detection").post("/predict?score=1&masks=none", content=encoded(0), headers=PNG)
    assert objects.json()["predictions"][0]["objects"] == []


def test_a_path_is_never_opened(client: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(0))
    for path in (str(tmp_path / "a.png"), base64.b64encode(str(tmp_path / "a.png").encode()).decode()):
        answer = client().post("/predict", json={"images": [path]})
        assert answer.status_code == 422


@pytest.mark.parametrize(
    ("path", "content", "status", "sentence"),
    [
        ("/predict", encoded(0)[:-100], 422, "image 0: a damaged image"),
        ("/predict", b"hello", 422, "image 0: not an image"),
        ("/predict", b"x" * 5001, 413, "the body is too large: expected at most 5,000 bytes"),
        ("/explain?class=dog", encoded(0), 422, "class: there is no 'dog'; expected ant, bee, cat"),
        ("/nothing", b"", 404, "POST /nothing: not found"),
    ],
)
def test_mistakes_are_sentences(
    client: Callable[..., Any], path: str, content: bytes, status: int, sentence: str
) -> None:
    answer = client(max_bytes=5000).post(path, content=content, headers=PNG)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(sentence)


def test_the_pixels_of_what_is_explained_are_limited_too(client: Callable[..., Any]) -> None:
    pytest.importorskip("captum")
    answer = client(max_pixels=1000).post("/explain", content=encoded(0), headers=PNG)
    assert answer.json() == {"error": "image 0: is 40 x 30 pixels, too large: at most 1,000 are decoded"}


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
def test_a_heat_map(client: Callable[..., Any], task: str) -> None:
    pytest.importorskip("captum")
    answer = client(task).post("/explain", files={"files": encoded(0)})
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size[0] >= 240
    two = client(task).post("/explain", files=[("files", encoded(0)), ("files", encoded(1))])
    assert two.json() == {"error": "the body has too many images: expected at most 1"}


def test_a_full_server_says_so_and_a_slow_one_too(client: Callable[..., Any]) -> None:
    http = client(queue=1, timeout_s=1)
    two = http.post("/predict", files=[("files", encoded(0)), ("files", encoded(1))])
    assert (two.status_code, two.headers["retry-after"]) == (503, "1")
    http.app.state.service.predictor.predict_batch = lambda batch, options: time.sleep(2)
    slow = http.post("/predict", content=encoded(0), headers=PNG)
    assert (slow.status_code, slow.json()["error"]) == (504, "there was no prediction within 1 seconds; try again")


def test_a_bug_is_a_sentence_for_the_client_and_counted(client: Callable[..., Any]) -> None:
    http = client()
    http.app.state.service.predictor.predict_batch = lambda batch, options: 1 / 0
    answer = http.post("/predict", content=encoded(0), headers=PNG)
    assert (answer.status_code, answer.json()["error"][:17]) == (500, "the server failed")
    assert 'path="/predict",status="500"} 1' in http.get("/metrics").text


def test_no_image_is_written_to_disk(client: Callable[..., Any]) -> None:
    large = encoded(0, (1200, 1000))  # larger than what Starlette's parser of forms keeps in memory
    assert len(large) > 2**20
    written: list[object] = []
    active = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if active and event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            written.append(arguments[0])

    http = client()
    sys.addaudithook(watch)
    try:
        form = http.post("/predict", files=[("files", ("a.png", large)), ("files", ("b.png", large))])
        raw = http.post("/predict", content=large, headers=PNG)
        text = http.post("/predict", json={"images": [base64.b64encode(large).decode()]})
        during = list(written)
        tempfile.TemporaryFile().close()
    finally:
        active = False
    assert [answer.status_code for answer in (form, raw, text)] == [200, 200, 200]
    assert during == []
    assert written  # it would have been noticed


def test_only_known_files_of_the_page_are_served(client: Callable[..., Any]) -> None:
    http = client()
    assert http.get("/").headers["content-type"].startswith("text/html")
    for path in ("/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "/app.py", "/etc/passwd"):
        assert http.get(path).status_code == 404


COMPARE = {"classification": same_classes, "detection": same_objects, "segmentation": same_mask}
