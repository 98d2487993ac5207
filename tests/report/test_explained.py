"""Maps of where the network looked, in a report."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from resnet_tl.explain.aims import object_score
from resnet_tl.models.network import Network
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.thumbnails import read_small, small
from resnet_tl.report.assets import Assets
from resnet_tl.report.classes import WITH_MAP, _images
from resnet_tl.report.explained import Explained
from resnet_tl.report.page import write_report
from resnet_tl.report.records import read_run
from tests.explain import planted
from tests.explain.planted import CLASSES, Cues
from tests.report.conftest import Page
from tests.report.test_classes import evaluation

pytest.importorskip("captum")
CUES = Cues(8, seed=3000)


@pytest.fixture
def classifier() -> Network:
    return planted.classifier()


@pytest.fixture
def detector() -> Network:
    return planted.detector()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root, paths = tmp_path_factory.mktemp("cues"), []
    for number, image in enumerate(CUES.images.permute(0, 2, 3, 1).numpy()):
        paths.append(str(root / f"{number}.png"))
        cv2.imwrite(paths[-1], image[..., ::-1])
    return paths


def test_maps_are_drawn_where_the_cue_is(classifier: Network, files: list[str]) -> None:
    explained = Explained(ClassPredictor(classifier, CLASSES[:2]), "")
    labels = {path: int(label) for path, label in zip(files, CUES.labels, strict=True)}
    drawn = explained.of_classes({**labels, "missing.png": 0}, 3)
    assert set(drawn) == set(files)
    for number, path in enumerate(files):
        plain = np.asarray(small(Image.fromarray(read_small(path, 3)))).astype(int)
        assert drawn[path].size == (plain.shape[1], plain.shape[0])
        change = abs(np.asarray(drawn[path]) - plain).sum(2)
        factor = plain.shape[0] // 32
        inside = np.kron(CUES.quadrants()[number].numpy(), np.ones((factor, factor)))
        assert (change * inside).sum() > 0.6 * change.sum()


def test_a_part_is_drawn_at_the_images_size(detector: Network, files: list[str]) -> None:
    explained, box = Explained(BoxPredictor(detector, CLASSES[:2]), ""), CUES.boxes[0].numpy()
    score = partial(object_score, detector.head, box, int(CUES.labels[0]), (32, 32))
    drawn = explained.of_part(files[0], score)
    assert drawn is not None
    change = abs(drawn.astype(int) - read_small(files[0], 3)).sum(2)
    assert (change * CUES.inside()[0].numpy()).sum() > 0.7 * change.sum()
    assert explained.of_part("missing.png", score) is None
    assert Explained(None, "").of_part(files[0], score) is None


def test_the_first_pictures_of_a_gallery_have_maps(
    classifier: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, asked = evaluation(tmp_path, 2, 60), []
    predictor = ClassPredictor(classifier, CLASSES[:2])
    original = Explained.of_classes

    def recorded(self: Explained, labels: dict[str, int], channels: int):  # type: ignore[no-untyped-def]
        asked.append(labels)
        return original(self, labels, channels)

    monkeypatch.setattr(Explained, "of_classes", recorded)
    section = _images(given, Assets(), Explained(predictor, "Maps."))
    for gallery in section.content["galleries"]:
        assert [picture.map is not None for picture in gallery.pictures] == [True] * WITH_MAP + [False] * 6
    assert section.lead.endswith("Maps.")
    for path, label in asked[0].items():
        assert label == given.probabilities[int(Path(path).stem)].argmax()


def test_a_page_has_maps_or_a_line_that_says_what_is_missing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(read_run(run), tmp_path / "with.html")
    page = Page(tmp_path / "with.html")
    assert any(text.startswith("where the network looked") for text in page.attributes("alt"))
    assert set(page.attributes("data-picture")) == set(page.pictures)
    copy = shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(copy / "checkpoints")
    write_report(read_run(copy), tmp_path / "gone.html")
    monkeypatch.setattr("resnet_tl.extras.find_spec", lambda name: None)
    write_report(read_run(run), tmp_path / "without.html")
    for name, reason in (("gone.html", "no run in this folder"), ("without.html", "pip install 'resnet-tl[explain]'")):
        page = Page(tmp_path / name)
        assert page.text.count("There are no maps of where the network looked") == 1
        assert reason in page.text
        assert not any(text.startswith("where the network looked") for text in page.attributes("alt"))
