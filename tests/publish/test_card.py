"""Model cards: what they say of a run, and what they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from resnet_tl.checkpoint import Bundle, read
from resnet_tl.metrics.score_tables import ScoreTables, score
from resnet_tl.publish.card import Card, write_card
from resnet_tl.structures.evaluation import ClassEvaluation

SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"


@pytest.fixture(scope="module")
def saved() -> Bundle:
    bundle = read(SAVED / "half_run")
    private = {"data": {"init_args": {"root": "/home/me/photos", "batch_size": 24}}, "trainer": {"max_epochs": 7}}
    return replace(bundle, classes=["ant", "bee", "wasp"], recipe={**bundle.recipe, **private})


@pytest.fixture
def card(saved: Bundle) -> Card:
    """Of 100 images, 50 of each of two classes: all ants are found, no bee is."""
    targets = np.repeat([0, 1], 50)
    probabilities = np.tile(np.array([0.7, 0.2, 0.1], np.float32), (100, 1))
    keys, losses = np.array([f"{number}.jpg" for number in range(100)]), np.zeros(100, np.float32)
    evaluation = ClassEvaluation(
        saved.classes, "/home/me/photos", "val", 12, [], keys, losses, probabilities, targets, np.zeros(0, np.float32)
    )
    return Card("insects", "insects", saved, "classification", evaluation, 300, True, "mit", None, [])


def _text(card: Card, folder: Path) -> str:
    write_card(card, folder)
    return (folder / "README.md").read_text()


def test_scores_have_intervals_and_are_also_data(card: Card, tmp_path: Path) -> None:
    text = _text(card, tmp_path)
    assert "| score | value | 95 % interval |" in text
    assert "| accuracy | 0.500 | 0.4" in text
    assert "| class | images | precision | recall | F1 | AP | AUROC |" in text
    (result, *_) = ModelCard.load(tmp_path / "README.md").data.eval_results
    assert (result.metric_name, result.metric_value, result.dataset_name) == ("accuracy", 0.5, "validation images")


def test_columns_have_names_in_words(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {
        "class": "ant",
        "objects": 40,
        "map": 0.5,
        "map_low": 0.4,
        "map_high": 0.6,
        "mask_map_small": 0.1,
        "recall": 1.0,
    }
    tables = ScoreTables({"summary": [score("map", 0.5)], "per_class": [row]}, [])
    monkeypatch.setattr("resnet_tl.publish.card.tables_of", lambda *_, **__: tables)
    assert "| class | objects | mAP | mask mAP, small | recall |" in _text(card, tmp_path)


def test_data_and_recipe_are_told_without_paths(card: Card, tmp_path: Path) -> None:
    text = _text(card, tmp_path)
    assert "Trained on 300 images of the publisher's own; 100 others were kept for validation." in text
    recipe = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    assert recipe["data"] == {"batch_size": 24}
    assert recipe["trainer"] == {"max_epochs": 7}
    assert recipe["model"]["backbone"]["weights"] is None
    assert "/home/me" not in text


def test_the_size_is_what_images_become(card: Card, tmp_path: Path) -> None:
    preprocessing = replace(card.saved.preprocessing, size=112, crop=0.95)  # 112 / 0.95 = 117.9
    text = _text(replace(card, saved=replace(card.saved, preprocessing=preprocessing)), tmp_path)
    assert "The short side of an image becomes 117 pixels, of which the centre, 112 x 112, is used" in text


def test_limits_name_weak_classes(card: Card, tmp_path: Path) -> None:
    text = _text(card, tmp_path)
    assert "- Never recognised in the validation images: bee." in text
    assert "- Fewer than 30 in the validation images, so that the scores say little: wasp." in text


def test_a_checkpoint_alone_has_no_scores(card: Card, tmp_path: Path) -> None:
    text = _text(replace(card, evaluation=None, trained_on=None, licence=None), tmp_path)
    assert "None are recorded" in text
    assert "Trained on images of the publisher's own. The short side" in text
    assert "Unknown: ask whoever published this" in text
    assert not ModelCard.load(tmp_path / "README.md").data.eval_results


@pytest.mark.parametrize(("source", "place"), [("hf://me/ants", "hf-hub:me/ants"), ("ants", "local-dir:ants")])
def test_the_way_to_load_it_is_in_it(card: Card, tmp_path: Path, source: str, place: str) -> None:
    text = _text(replace(card, source=source), tmp_path)
    assert f'resnet_tl.load("{source}")' in text
    assert f'timm.create_model("{place}", pretrained=True)' in text
    assert "timm" not in _use_of(replace(card, source=source, in_timm=False, task="detection"), tmp_path)


def _use_of(card: Card, folder: Path) -> str:
    return _text(replace(card, evaluation=None), folder).partition("## Use")[2].partition("## Data")[0]


def test_names_cannot_break_the_page(card: Card, tmp_path: Path) -> None:
    classes: list[Any] = ["a|b", "<script>", "*"]
    assert card.evaluation is not None
    evaluation = replace(card.evaluation, classes=classes)
    text = _text(replace(card, saved=replace(card.saved, classes=classes), evaluation=evaluation), tmp_path)
    assert "| a\\|b |" in text
    assert "\\<script\\>" in text
