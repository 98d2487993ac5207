"""Shipped recipes against the real classes, whole and damaged: a recipe resolves, or is one sentence."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.shipped import shipped, shipped_root
from resnet_tl.run.build import compose

WHOLE = [name for name in shipped() if not name.startswith("overlays/")]
MISSING = [("data.root", "photos"), ("data.csv", "labels.csv")]


def test_overlays_override_recipes_in_order(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "trainer: {precision: 16-mixed}\nmodel: {init_args: {backbone: {name: resnet18}}}\n"
    )
    names = ["classify/folder_resnet50_finetune", "overlays/bf16", str(tmp_path / "mine.yaml")]
    recipe = compose(names, MISSING[:1])
    assert recipe["trainer"]["precision"] == "16-mixed"
    assert recipe["model"]["init_args"]["backbone"] | {"weights": None} == recipe["model"]["init_args"]["backbone"] | {
        "name": "resnet18", "weights": None
    }  # fmt: skip
    assert compose([*names, "overlays/bf16"], MISSING[:1])["trainer"]["precision"] == "bf16-mixed"


def test_options_of_a_class_may_come_before_its_name() -> None:
    given = [("model.head.hidden", "32"), ("model.head", "MLPHead")]
    heads = [
        compose(["quickstart"], [*MISSING[:1], *order])["model"]["init_args"]["head"] for order in (given, given[::-1])
    ]
    assert heads[0] == heads[1]
    assert heads[0]["init_args"]["hidden"] == 32


def test_data_of_another_task_than_the_models_is_named() -> None:
    with pytest.raises(
        RecipeError, match=r"model is Classification, but data is CocoDetection, which is for Detection"
    ):
        compose(["quickstart"], [*MISSING[:1], ("data", "CocoDetection")])
    with pytest.raises(RecipeError, match=r"^model is Detection, but data is Shards, which is for Classification$"):
        compose(["detect/folder_small_machine_fcos"], [*MISSING[:1], ("data", "Shards")])  # whose options it lacks


def test_the_trainers_reserved_arguments_are_not_keys(tmp_path: Path) -> None:
    for key in ("logger", "plugins", "use_distributed_sampler"):
        with pytest.raises(RecipeError, match=f"--trainer.{key}: unknown option"):
            compose(["quickstart"], [(f"trainer.{key}", "null")])


def test_a_damaged_recipe_is_one_sentence_with_its_line(tmp_path: Path) -> None:
    draw, path, refused = random.Random(0), tmp_path / "photos.yaml", 0
    for _ in range(400):
        name = draw.choice(WHOLE)
        recipe = yaml.safe_load(shipped()[name].read_text().replace("${shipped}", ""))
        what = damage(recipe, draw)
        path.write_text(yaml.safe_dump(recipe))
        message = refusal(path, name)
        if message is not None:
            refused += 1
            assert "\n" not in message, what
            assert len(message.removeprefix(str(path))) < 400, message
            assert message.startswith((str(path), "--data.")) or " is missing: add --" in message, f"{what}: {message}"
    assert 200 < refused < 400


def refusal(path: Path, name: str) -> str | None:
    task = {"detect": "detection", "instance": "detection", "segment": "segmentation"}.get(name.partition("/")[0])
    root = [("data.root", str(shipped_root() / "data" / "samples" / task))] if task else MISSING[:1]
    needed = MISSING[1:] if "multilabel" in name or name.startswith("regress/") else root
    try:
        compose([str(path)], needed)
    except RecipeError as error:
        return str(error)
    return None


def damage(recipe: dict, draw: random.Random) -> str:
    """One key misspelt, or one value of another type."""
    mappings = list(inside(recipe))
    mapping = draw.choice([m for m in mappings if m])
    key = draw.choice(list(mapping))
    if draw.random() < 0.5:
        place = draw.randrange(len(key))
        wrong = key[:place] + draw.choice("xyz") + key[place + draw.randint(0, 1) :]
        mapping[wrong] = mapping.pop(key)
        return f"{key} -> {wrong}"
    mapping[key] = draw.choice([None, True, 3, -1.5, "words", [1], ["a", {}], {}, {"a": 1}])
    return f"{key}: {mapping[key]}"


def inside(value: object) -> list[dict]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [*([value] if isinstance(value, dict) else []), *(found for child in children for found in inside(child))]
