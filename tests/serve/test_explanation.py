"""Heat maps of the server."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from resnet_tl.errors import DataError, RecipeError, RunError
from resnet_tl.explain.explain import Explanation
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.segmentation import MaskPredictor
from resnet_tl.serve.explanation import LARGEST, explained, obstacle, png
from resnet_tl.structures.decisions import Decisions
from tests.explain import planted
from tests.serve.conftest import encoded

pytest.importorskip("captum")

CLASSES = planted.CLASSES
CUES = planted.Cues(2, seed=2000)
IMAGE = np.ascontiguousarray(CUES.images[0].permute(1, 2, 0).numpy())
PLANTED = CLASSES[int(CUES.labels[0])]


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.fixture(scope="module")
def classifier() -> ClassPredictor:
    return ClassPredictor(planted.classifier(), CLASSES[:2])


def test_a_class_is_explained_predicted_or_not(classifier: ClassPredictor) -> None:
    assert obstacle(classifier) is None
    assert explained(classifier, IMAGE, None).label == PLANTED
    assert {explained(classifier, IMAGE, name).label for name in CLASSES[:2]} == set(CLASSES[:2])
    with pytest.raises(RecipeError, match="there is no 'wasps'"):
        explained(classifier, IMAGE, "wasps")


def test_the_best_object_is_explained_however_low_its_score() -> None:
    predictor = BoxPredictor(planted.detector(), CLASSES[:2], decisions=Decisions(box_scores=[1.0, 1.0]))
    assert predictor.predict(IMAGE)[0].classes == []
    explanation = explained(predictor, IMAGE, PLANTED)
    assert explanation.label == PLANTED
    assert explanation.box is not None


def test_a_class_without_pixels_is_a_sentence() -> None:
    predictor = MaskPredictor(planted.segmenter(), CLASSES)
    assert explained(predictor, IMAGE, PLANTED).label == PLANTED
    missing = CLASSES[1 - int(CUES.labels[0])]
    assert missing not in {CLASSES[label] for label in np.unique(predictor.predict(IMAGE)[0].mask)}
    with (
        pytest.warns(UserWarning, match="not explained"),
        pytest.raises(DataError, match=f"^no '{missing}' was predicted, so there is nothing to explain$"),
    ):
        explained(predictor, IMAGE, missing)


def test_the_picture_shows_the_image_under_its_map(classifier: ClassPredictor) -> None:
    explanation = explained(classifier, IMAGE, None)
    picture = _opened(png(explanation))
    assert picture.format == "PNG"
    assert picture.width % IMAGE.shape[1] == 0
    assert picture.height > picture.width  # the scale is below the square image


def test_large_images_are_reduced_with_their_box() -> None:
    height, width = 300, 4 * LARGEST
    values, image = np.zeros((height, width), np.float32), np.zeros((height, width, 1), np.uint16)
    values[:, width // 2 :] = 1
    picture = np.asarray(_opened(png(Explanation(0, None, image, "a", 0.5, (0, 0, width // 2, height), values, "a"))))
    assert picture.shape[1] == LARGEST
    row = picture[height // 4 // 2]
    assert row[LARGEST // 2 + 50].max() > 100  # coloured
    assert row[10].max() == 0
    edge = row[LARGEST // 2 - 8 : LARGEST // 2]
    assert edge.max() == 255  # the box's white line


def test_what_stands_in_the_way_is_a_sentence(classifier: ClassPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        return None

    monkeypatch.setattr("resnet_tl.extras.find_spec", missing)
    assert isinstance(error := obstacle(classifier), RunError)
    assert str(error) == "an explanation needs captum: pip install 'resnet-tl[explain]'"


def test_an_exported_file_cannot_be_explained(classifier: ClassPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "network", nn.Identity())
    assert isinstance(error := obstacle(classifier), RecipeError)
    assert "use its checkpoint" in str(error)


def test_over_http(client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    image, kind = encoded(0), {"Content-Type": "image/png"}
    with client(max_pixels=2000) as http:
        assert http.get("/model").json()["options"]["explain"] is True
        answer = http.post("/explain", content=image, headers=kind, params={"class": "bee"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert _opened(answer.content).format == "PNG"
        unknown = http.post("/explain", content=image, headers=kind, params={"class": "bea"})
        assert unknown.status_code == 422
        assert "did you mean 'bee'?" in unknown.json()["error"]
        two = http.post("/explain", files=[("files", image), ("files", image)])
        assert (two.status_code, two.json()["error"]) == (422, "the body has too many images: expected at most 1")
        large = http.post("/explain", content=encoded(0, (60, 40)), headers=kind)
        assert large.status_code == 422
        assert "at most 2,000 are decoded" in large.json()["error"]
    monkeypatch.setattr("resnet_tl.serve.service.obstacle", lambda predictor: RunError("no captum"))
    with client() as http:
        refused = http.post("/explain", content=image, headers=kind)
    assert (refused.status_code, refused.json()) == (404, {"error": "no captum"})
