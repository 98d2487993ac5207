"""The sections about a classifier: which images are where."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from resnet_tl.report.assets import Assets
from resnet_tl.report.classes import IN_A_CELL, _confusion, _images, wrong
from resnet_tl.report.explained import Explained
from resnet_tl.structures.evaluation import ClassEvaluation


def evaluation(root: Path, classes: int, images: int, multi_label: bool = False) -> ClassEvaluation:
    """Random predictions of real, tiny images."""
    draw = np.random.default_rng(0)
    keys = [f"{number:03}.png" for number in range(images)]
    for key in keys:
        cv2.imwrite(str(root / key), draw.integers(0, 255, (8, 8, 3), np.uint8))
    probabilities = draw.dirichlet(np.full(classes, 0.5), images).astype(np.float32)
    targets = draw.integers(0, classes, images)
    return ClassEvaluation(
        classes=[f"class {k}" for k in range(classes)],
        root=str(root),
        split="val",
        step=1,
        absent=[],
        keys=np.array(keys),
        losses=-np.log(probabilities[np.arange(images), targets]),
        probabilities=probabilities,
        targets=np.eye(classes)[targets] > 0 if multi_label else targets,
        thresholds=np.full(classes, 0.5, np.float32) if multi_label else np.zeros(0, np.float32),
    )


def test_a_cell_shows_its_images_and_counts_all_of_them(tmp_path: Path) -> None:
    given = evaluation(tmp_path, 3, 60)
    content = _confusion(given, Assets()).content
    guesses = given.probabilities.argmax(1)
    for (true, guess), pictures in content["galleries"].items():
        inside = {str(key) for key in given.keys[(given.targets == true) & (guesses == guess)]}
        assert content["counts"][true, guess] == len(inside)
        assert {picture.title for picture in pictures} <= inside
        assert len(pictures) == min(len(inside), IN_A_CELL)
        assert all(picture.wrong == (true != guess) for picture in pictures)
    assert sum(content["counts"].values()) == 60


def test_many_classes_have_their_worst_pairs(tmp_path: Path) -> None:
    given = evaluation(tmp_path, 40, 300)
    content = _confusion(given, Assets()).content
    counts = [content["counts"][cell] for cell in content["pairs"]]
    assert len(counts) == 30
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == max(count for (true, guess), count in content["counts"].items() if true != guess)
    assert all(true != guess for true, guess in content["pairs"])


def test_galleries_are_in_order(tmp_path: Path) -> None:
    given = evaluation(tmp_path, 4, 80)
    galleries = _images(given, Assets(), Explained(None, "")).content["galleries"]
    place = {str(key): index for index, key in enumerate(given.keys)}
    order = {gallery.title: [place[picture.title] for picture in gallery.pictures] for gallery in galleries}
    losses, confidence, is_wrong = given.losses, given.probabilities.max(1), wrong(given)
    assert order["Worst mistakes"] == sorted(np.flatnonzero(is_wrong), key=lambda i: -losses[i])[:12]
    assert order["Most confident mistakes"] == sorted(np.flatnonzero(is_wrong), key=lambda i: -confidence[i])[:12]
    assert order["Least sure hits"] == sorted(np.flatnonzero(~is_wrong), key=lambda i: -losses[i])[:12]


@pytest.mark.parametrize("multi_label", [False, True])
def test_an_image_is_wrong_in_any_label(multi_label: bool, tmp_path: Path) -> None:
    given = evaluation(tmp_path, 3, 30, multi_label)
    guesses = given.probabilities >= 0.5 if multi_label else np.eye(3)[given.probabilities.argmax(1)] > 0
    truth = given.targets if multi_label else np.eye(3)[given.targets] > 0
    assert wrong(given).tolist() == (guesses != truth).any(1).tolist()
    titles = [gallery.title for gallery in _images(given, Assets(), Explained(None, "")).content["galleries"]]
    assert titles[0] == "Worst mistakes"
