"""The JSON Schema of recipes, judged by an independent validator."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.recipe.json_schema import json_schema
from resnet_tl.recipe.node import plain
from resnet_tl.recipe.read import read
from resnet_tl.recipe.reference import reference
from resnet_tl.recipe.shipped import shipped
from resnet_tl.run.sections import sections


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema(sections())


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Draft202012Validator:
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def faults(validator: Draft202012Validator, recipe: Any) -> list[str]:
    return [error.message for error in validator.iter_errors(recipe)]


@pytest.mark.parametrize("path", shipped().values(), ids=list(shipped()))
def test_every_shipped_recipe_and_overlay_is_valid(validator: Draft202012Validator, path: Path) -> None:
    assert faults(validator, plain(read(path))) == []


def test_it_is_plain_json_with_types_ranges_defaults_and_descriptions(schema: dict[str, Any]) -> None:
    assert json.loads(json.dumps(schema)) == schema
    batch_size = schema["$defs"]["ImageFolder"]["properties"]["batch_size"]
    number, word = batch_size["anyOf"]
    assert (number["type"], number["minimum"], batch_size["default"]) == ("integer", 1, 32)
    assert word["enum"] == ["auto"]
    assert batch_size["description"]
    assert schema["properties"]["trainer"]["properties"]["accumulate_grad_batches"]["minimum"] == 1
    assert schema["$defs"]["Backbone"]["properties"]["drop_path"]["exclusiveMaximum"] == 1


def test_it_has_every_argument_of_the_reference(schema: dict[str, Any]) -> None:
    for entry in reference(sections()):
        place = schema["$defs"].get(entry.name) or schema["properties"].get(entry.name) or schema
        assert set(place["properties"]) == {argument.name for argument in entry.arguments}, entry.name


@pytest.mark.parametrize(
    "part",
    [
        {"model": {"class_path": "Classification", "init_args": {"head": "MLPHead"}}},
        {"model": {"class_path": "mine.Task", "init_args": {"anything": 1}}},
        {"model": {"init_args": {"head": {"class_path": "mine.Head", "init_args": {"x": [1]}}}}},
        {"model": {"class_path": "resnet_tl.tasks.classification.Classification"}},
        {"data": {"class_path": "resnet_tl.data.modules.ImageFolder", "init_args": {"root": "${shipped}/x"}}},
        {"data": {"class_path": "ImageFolder", "init_args": None}},
        {"data": {"root": "photos", "image_size": 64}},
        {"data": {"init_args": {"root": "photos", "tool": "labelme"}}},
        {"data": "AnyData"},
        {"data": {"class_path": "AnyData", "init_args": {"root": "photos"}}},
        {"trainer": {"callbacks": [{"class_path": "EarlyStopping", "init_args": {"monitor": "val/loss"}}]}},
    ],
)
def test_what_is_right_is_valid(validator: Draft202012Validator, part: dict[str, Any]) -> None:
    assert faults(validator, part) == []


@pytest.mark.parametrize("seed", range(50))
def test_a_wrong_recipe_is_refused(validator: Draft202012Validator, seed: int) -> None:
    draw = random.Random(seed)
    recipe = plain(read(shipped()[draw.choice(["classify/folder_resnet50_finetune", "detect/folder_fcos_resnet50"])]))
    wrong = copy.deepcopy(recipe)
    model, data = wrong["model"]["init_args"], wrong["data"].get("init_args", wrong["data"])
    where, key, value = draw.choice(
        [
            (model["optimizer"], "lr", draw.choice([0, -1, "fast", None, [0.1]])),
            (model["optimizer"], "lrr", 0.1),
            (model["tuning"]["phases"][0], "epochs", draw.choice([0, -2, "two", 1.5, [1]])),
            (model["tuning"]["phases"][0], "trane", ["head"]),
            (model["tuning"], "phases", draw.choice(["graduall", 3, {"epochs": 1}])),
            (model["backbone"], "drop_path", draw.choice([1, -0.1, "x", True])),
            (model["backbone"], "in_channels", draw.choice([0, 1.5, "3"])),
            (model["backbone"], "norm", draw.choice(["layer", 1])),
            (model["head"], "class_path", draw.choice(["LinaerHead", "resnet_tl.models.heads.Nothing", 3])),
            (model["head"], "dropout", 0.1),
            (model["head"], "init_args", {"hiden": 3}),
            (model, "optimiser", {}),
            (wrong["model"], "class_path", draw.choice(["Classificaton", "nothing", 1])),
            (data, "batch_size", draw.choice([0, -1, "many", 2.5, True])),
            (data, "image_sise", 32),
            (data, "augment", draw.choice(["heavy", 1, True])),
            (wrong["data"], "class_path", "ImageFoldr"),
            (wrong, "data", {"root": "photos", "image_sise": 64}),
            (wrong, "data", {"class_path": "AnyData", "init_args": {"root": "photos", "batch_size": 0}}),
            (wrong["trainer"], "accumulate_grad_batches", draw.choice([0, "2x", 1.5])),
            (wrong["trainer"], "max_epoch", 3),
            (wrong["trainer"], "precision", draw.choice(["half", 8])),
            (wrong, "sead", 3),
            (wrong, "seed_everything", draw.choice([-1, "one", 1.5, True])),
        ]
    )
    where[key] = value
    assert faults(validator, wrong), (key, value)


def test_a_class_made_within_a_function_is_not_offered(schema: dict[str, Any]) -> None:
    class Local(LinearHead):
        pass

    assert Local in LinearHead.__subclasses__()
    assert json_schema(sections()) == schema
