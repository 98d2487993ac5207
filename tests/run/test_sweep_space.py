"""What a search varies of a recipe."""

from __future__ import annotations

from typing import Any

import pytest

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.node import overlay
from resnet_tl.recipe.read import override
from resnet_tl.run.build import compose
from resnet_tl.run.sweep_space import headline_of, overlay_of, space_of, value_at


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    return compose(["quickstart"])


def test_the_space_is_around_what_the_recipe_fine_tunes_with(recipe: dict[str, Any]) -> None:
    assert space_of(recipe) == {
        "model.optimizer.lr": {"distribution": "log_uniform_values", "min": 0.002, "max": 0.2},
        "model.optimizer.weight_decay": {"distribution": "log_uniform_values", "min": 5e-5, "max": 5e-3},
        "model.tuning.phases.0.epochs": {"distribution": "uniform", "min": 0.05, "max": 0.2},
        "model.tuning.phases.1.layer_decay": {"distribution": "uniform", "min": 0.49, "max": 1.0},
        "model.head.label_smoothing": {"distribution": "uniform", "min": 0.0, "max": 0.2},
        "data.augment": {"values": ["light", "medium", "strong"]},
    }


def test_what_a_recipe_switches_off_is_not_varied() -> None:
    off = [("model.optimizer.weight_decay", 0), ("data.augment", "none"), ("model.tuning.phases", "gradual")]
    assert set(space_of(compose(["quickstart"], off))) == {"model.optimizer.lr", "model.head.label_smoothing"}


@pytest.mark.parametrize(
    ("name", "options", "metric"),
    [
        ("quickstart", {}, "val/acc"),
        ("classify/folder_resnet50_multilabel", {"data.csv": "labels.csv"}, "val/map"),
        ("detect/coco_fcos_resnet50", {"data.root": "coco"}, "val/map"),
        ("segment/camvid_fpn_resnet18", {"data.root": "camvid"}, "val/miou"),
        ("regress/csv_resnet50", {"data.csv": "labels.csv"}, "val/mae"),
    ],
)
def test_the_metric_is_the_one_that_chooses_the_best_epoch(name: str, options: dict[str, str], metric: str) -> None:
    composed = compose([name], options.items())
    assert headline_of(composed) == metric
    assert all(value_at(composed, key) is not None for key in space_of(composed))


def test_an_overlay_of_some_keys_sets_them_and_nothing_else(recipe: dict[str, Any]) -> None:
    drawn = {"model.optimizer.lr": 0.5, "model.tuning.phases.1.layer_decay": 0.9, "data.augment": "strong"}
    changed = compose(["quickstart"], drawn.items())
    layer = overlay_of(changed, [key.split(".") for key in drawn])
    assert layer["model"]["init_args"]["optimizer"] == {"lr": 0.5}
    assert compose(["quickstart", layer]) == changed != recipe


def test_an_option_changes_an_item_of_a_list() -> None:
    phases = override("phases", "[{train: [head], epochs: 1}, {train: all}]")
    changed = overlay(phases, override("phases.1.train", "[layer4]")).value["phases"].value
    assert [item.value["train"].value[0].value for item in changed] == ["head", "layer4"]
    assert changed[0].value["epochs"].value == 1
    with pytest.raises(RecipeError, match=r"phases\.2\.train: no item 2 in this list; expected one of 0, 1$"):
        overlay(phases, override("phases.2.train", "all"))
