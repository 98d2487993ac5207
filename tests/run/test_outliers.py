"""A network of two colours recognises a third."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

import resnet_tl
from resnet_tl.data.listings.listing import Listing
from resnet_tl.errors import RecipeError, UserError, WeightsError
from resnet_tl.metrics.class_space import fit_space
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.run.outliers import fit_outliers, spread_images, spread_over_classes
from resnet_tl.structures.decisions import Decisions, Limit, Limits
from tests.cli.conftest import RECIPE


def colours(root: Path, split: str, name: str, channels: tuple[int, ...], count: int) -> Path:
    """Images of a colour (BGR channels), in noise."""
    folder, draw = root / split / name, np.random.default_rng(len(split))
    folder.mkdir(parents=True)
    for number in range(count):
        image = draw.integers(0, 60, (20, 20, 3), np.uint8)
        image[..., list(channels)] += 150
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_a_third_colour_is_none_of_two(here: Path, seed: int) -> None:
    for split, count in (("train", 24), ("val", 20)):
        for name, channel in (("blue", 0), ("red", 2)):
            colours(here / "two", split, name, (channel,), count)
    options = {"data.root": here / "two", "tracking.report": False, "seed_everything": seed, "trainer.max_epochs": 3}
    predictor = resnet_tl.fit(yaml.safe_load(RECIPE), run="run", **options).predictor()
    familiar = predictor.predict(here / "two" / "val", unsure=True)
    assert sum(each.none_of_these for each in familiar) <= 2
    assert sum(each.possible == each.classes[:1] for each in familiar) >= 34
    for name, channels in (("green", (1,)), ("white", (0, 1, 2)), ("black", ())):
        others = predictor.predict(colours(here, "other", name, channels, 6), unsure=True)
        assert sum(each.none_of_these for each in others) >= 5, name
    for score in ("energy", "relative"):
        scores = [each.outlier_score for each in predictor.predict(here / "two" / "val", unsure=score)]
        assert np.median(scores) == pytest.approx(0, abs=0.05)
        assert sum(score > 1 for score in scores) <= 2
    with pytest.raises(RecipeError, match=r"unsure: 'x'; expected True, 'cosine', 'energy', 'relative'"):
        predictor.predict(here / "two" / "val", unsure="x")


def test_images_are_spread_evenly() -> None:
    listing = Listing.of("", [str(n) for n in range(100)], [0] * 90 + [1] * 10)
    chosen = spread_over_classes(listing, 60)
    assert chosen.class_counts(2).tolist() == [30, 10]
    assert chosen.keys()[0] == "0"
    assert chosen.keys()[29] == "89"
    assert spread_over_classes(listing, 2).class_counts(2).tolist() == [20, 10]
    assert spread_images(listing, 3).keys() == ["0", "50", "99"]
    assert spread_images(listing, 500).keys() == listing.keys()


def test_validation_images_that_all_look_alike_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = ClassPredictor(build(Backbone(name="resnet_tiny"), None, LinearHead, ["a", "b"]), ["a", "b"])
    train, val = Listing.of("", list("abcd"), [0, 0, 1, 1]), Listing.of("", [str(n) for n in range(20)], [0] * 20)
    features = np.random.default_rng(0).normal(size=(4, 3))
    rows = {
        id(train): ([0, 1, 2, 3], features, features[:, :2]),
        id(val): ([*range(20)], np.ones((20, 3)), np.ones((20, 2))),
    }
    monkeypatch.setattr("resnet_tl.run.outliers._observed", lambda _, listing: rows[id(listing)])
    with pytest.raises(UserError, match="the cosine scores of the validation images are equal"):
        fit_outliers(predictor, train, val)
    predictor.space = fit_space(features, np.array([0, 0, 1, 1]))
    equal = Limit(0.5, 0.5)
    predictor.decisions = Decisions(possible=0.0, outliers=Limits(equal, equal, equal))
    with pytest.raises(
        WeightsError, match="whose scores are all equal, or on one image; expected a run with at least 20"
    ):
        predictor.predict(np.zeros((9, 9, 3), np.uint8), unsure=True)
