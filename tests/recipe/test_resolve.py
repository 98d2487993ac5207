# ruff: noqa: E501  (tables: a mistake and its sentence a line)
"""Checking and filling up: every mistake is one sentence with its place."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.moved import ADDED
from resnet_tl.recipe.node import overlay
from resnet_tl.recipe.read import override, read, write
from resnet_tl.recipe.resolve import option_name, options, resolve
from resnet_tl.recipe.schema import Section

RECIPE = """\
seed: 3
model:
  class_path: Task
  init_args:
    head:
      class_path: Deep
      init_args: {hidden: 4}
    phases:
      - {epochs: 2, train: [head]}
      - {train: all}
    optimizer: {name: adamw}
data:
  class_path: Folder
  init_args:
    root: photos
trainer:
  max_epochs: 5
"""


@pytest.fixture
def resolved(tmp_path: Path, section: Section) -> Any:
    """`resolved(text, **overrides)`, `__` for the dots."""

    def compose(text: str = RECIPE, **overrides: str) -> dict[str, Any]:
        (tmp_path / "photos.yaml").write_text(text)
        layers = [override(key.replace("__", "."), value) for key, value in overrides.items()]
        return resolve(reduce(overlay, layers, read(tmp_path / "photos.yaml", "photos.yaml")), section)

    return compose


def test_every_default_is_written_out_and_every_class_by_its_path(resolved: Any) -> None:
    recipe = resolved()
    model = recipe["model"]["init_args"]
    assert model["head"]["class_path"].endswith(".Deep")
    assert model["head"]["init_args"] == {"hidden": 4, "dropout": 0.0, "pool": "avg"}
    assert model["phases"] == [{"epochs": 2, "train": ["head"]}, {"epochs": None, "train": "all"}]
    assert recipe["data"]["init_args"] == {"root": "photos", "batch_size": 32, "weights": None}
    assert recipe["trainer"] == {"max_epochs": 5, "precision": "auto"}
    assert json.loads(json.dumps(recipe)) == recipe


def test_a_mapping_counts_upon_the_default_of_its_place(resolved: Any) -> None:
    optimizer = resolved()["model"]["init_args"]["optimizer"]
    assert optimizer == {"name": "adamw", "lr": 0.3, "betas": [0.9, 0.99], "options": {}}


def test_a_resolved_recipe_written_and_read_resolves_to_itself(resolved: Any, tmp_path: Path, section: Section) -> None:
    recipe = resolved()
    write(recipe, tmp_path / "again.yaml")
    assert resolve(read(tmp_path / "again.yaml"), section) == recipe


def test_a_saved_recipe_keeps_what_an_option_that_it_lacks_would_have_been(
    resolved: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = resolved()["model"]["init_args"]["head"]["class_path"]
    monkeypatch.setitem(ADDED, path.replace("Deep", "Flat"), {"pool": "max"})  # before, it always pooled so

    def pool(name: str, options: str = "hidden: 4", **overrides: str) -> str:
        text = RECIPE.replace("class_path: Deep", f"class_path: {name}").replace("hidden: 4", options)
        return resolved(text, **overrides)["model"]["init_args"]["head"]["init_args"]["pool"]

    assert pool("Deep") == "avg"
    assert pool(path) == "max"
    assert pool(path, "hidden: 4, pool: avg") == pool(path, model__head__pool="avg") == "avg"


def test_init_args_without_any_are_empty(resolved: Any) -> None:
    head = resolved(RECIPE.replace("init_args: {hidden: 4}", "init_args:"))["model"]["init_args"]["head"]
    assert head["init_args"]["hidden"] == 8


def test_options_need_no_init_args(resolved: Any) -> None:
    recipe = resolved(data__batch_size="8", model__head__dropout="0.3", model__optimizer__lr="1e-4")
    assert recipe["data"]["init_args"]["batch_size"] == 8
    assert recipe["model"]["init_args"]["head"]["init_args"] == {"hidden": 4, "dropout": 0.3, "pool": "avg"}
    assert recipe["model"]["init_args"]["optimizer"]["lr"] == 1e-4


def test_options_reach_what_the_recipe_leaves_to_defaults(resolved: Any) -> None:
    text = RECIPE.replace("    head:\n      class_path: Deep\n      init_args: {hidden: 4}\n", "")
    assert resolved(text, model__head__dropout="0.5")["model"]["init_args"]["head"]["init_args"]["dropout"] == 0.5
    assert resolved(text, model__head="Deep")["model"]["init_args"]["head"]["init_args"]["hidden"] == 8
    both = resolved(text, model__head="Deep", model__head__hidden="5", model__head__dropout="0.5")
    assert both["model"]["init_args"]["head"]["init_args"] == {"hidden": 5, "dropout": 0.5, "pool": "avg"}


def test_another_class_keeps_the_options_it_knows(resolved: Any) -> None:
    text = RECIPE.replace("{hidden: 4}", "{hidden: 4, dropout: 0.2}")
    head = resolved(text, model__head="Flat")["model"]["init_args"]["head"]
    assert head["init_args"] == {"dropout": 0.2, "pool": "avg"}
    towered = resolved(text, model__head="Towered")["model"]["init_args"]["head"]["init_args"]
    assert towered == {"hidden": [8, 4], "dropout": 0.2, "pool": "avg"}, "another type by the same name"
    data = resolved(data="Table", data__csv="x.csv")["data"]["init_args"]
    assert data == {"csv": "x.csv", "column": "label", "batch_size": 32, "weights": None}


def test_what_is_typed_is_read_as_its_type_wants(resolved: Any) -> None:
    recipe = resolved(
        data__root="2024", data__weights="[1, 2.5]", model__phases="[{epochs: 1}]", model__optimizer__options="{a: 1}"
    )
    assert recipe["data"]["init_args"] == {"root": "2024", "batch_size": 32, "weights": [1.0, 2.5]}
    assert recipe["model"]["init_args"]["phases"] == [{"epochs": 1, "train": "all"}]
    assert recipe["model"]["init_args"]["optimizer"]["options"] == {"a": 1}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: adamw", "learning_rate: 1", "photos.yaml:11: unknown key 'learning_rate' under model.init_args.optimizer; did you mean 'lr'?"),
        ("name: adamw", "nam: x", "photos.yaml:11: unknown key 'nam' under model.init_args.optimizer; did you mean 'name'?"),
        ("name: adamw", "zzz: x", "photos.yaml:11: unknown key 'zzz' under model.init_args.optimizer"),
        ("seed: 3", "sead: 3", "photos.yaml:1: unknown key 'sead'; did you mean 'seed'?"),
        ("seed: 3", "lr: 3", "photos.yaml:1: unknown key 'lr'; did you mean 'model.init_args.optimizer.lr'?"),
        ("seed: 3", "seed: x", "photos.yaml:1: seed must be int, got 'x'"),
        ("seed: 3", "seed: 3.5", "photos.yaml:1: seed must be int, got 3.5"),
        ("seed: 3", "seed: true", "photos.yaml:1: seed must be int, got true"),
        ("seed: 3", "seed: [1]", "photos.yaml:1: seed must be int, got [1]"),
        ("seed: 3", "seed:", "photos.yaml:1: seed must be int, got null"),
        ("hidden: 4", "hiden: 4", "photos.yaml:7: unknown key 'hiden' under model.init_args.head.init_args; did you mean 'hidden'?"),
        ("hidden: 4", "pool: mean", "photos.yaml:7: model.init_args.head.init_args.pool must be one of 'avg', 'max', got 'mean'; did you mean 'max'?"),
        ("hidden: 4", "pool: agv", "photos.yaml:7: model.init_args.head.init_args.pool must be one of 'avg', 'max', got 'agv'; did you mean 'avg'?"),
        ("class_path: Deep", "class_path: Dep", "photos.yaml:6: model.init_args.head: no Head is called 'Dep'; did you mean 'Deep'? (your own class: package.module.Class)"),
        ("class_path: Deep", "class_path: 3", "photos.yaml:6: model.init_args.head needs a class_path, the name of a Head: Flat, Deep, Starred, Fixed, Towered"),
        ("class_path: Deep", "class_pth: Deep", "photos.yaml:6: unknown key 'class_pth' under model.init_args.head; did you mean 'class_path'?"),
        ("class_path: Deep", "dropout: 1", "photos.yaml:6: unknown key 'dropout' under model.init_args.head; it belongs under init_args"),
        ("init_args: {hidden: 4}", "init_args: 4", "photos.yaml:7: model.init_args.head.init_args must be a mapping, got 4"),
        ("epochs: 2", "epoch: 2", "photos.yaml:9: unknown key 'epoch' under model.init_args.phases.0; did you mean 'epochs'?"),
        ("epochs: 2", "epochs: two", "photos.yaml:9: model.init_args.phases.0.epochs must be int or null, got 'two'"),
        ("{train: all}", "5", "photos.yaml:10: model.init_args.phases.1 must be a mapping of epochs, train, got 5"),
        ("{name: adamw}", "sgd", "photos.yaml:11: model.init_args.optimizer must be a mapping of name, lr, betas, options, got 'sgd'"),
        ("root: photos", "root: 2024", "photos.yaml:15: data.init_args.root must be str, got 2024 (put it in quotes)"),
        ("root: photos", "batch_size: 3", "data.root is missing: add --data.root VALUE or write it in the recipe"),
        ("root: photos", "root: x\n    weights: [1, b]", "photos.yaml:16: data.init_args.weights must be a list of float or null, got [1, 'b']"),
        ("class_path: Folder", "class_path: nowhere.Folder", "photos.yaml:13: data: cannot import 'nowhere.Folder': there is no module 'nowhere'"),
        ("max_epochs: 5", "max_epoch: 5", "photos.yaml:17: unknown key 'max_epoch' under trainer; did you mean 'max_epochs'?"),
        ("max_epochs: 5", "nc: 3", "photos.yaml:17: nc cannot be set; how many classes there are follows from the data"),
        ("max_epochs: 5", "precision: 16", "photos.yaml:17: trainer.precision must be one of 'auto', 32 or null, got 16"),
        ("trainer:\n  max_epochs: 5", "trainer: 5", "photos.yaml:16: trainer must be a mapping of max_epochs, precision, got 5"),
    ],
)  # fmt: skip
def test_a_wrong_recipe(resolved: Any, old: str, new: str, message: str) -> None:
    assert RECIPE.count(old) == 1
    with pytest.raises(RecipeError) as error:
        resolved(RECIPE.replace(old, new))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data__bach_size", "3", "--data.bach_size: unknown option; did you mean --data.batch_size?"),
        ("data__batch_size", "many", "--data.batch_size must be int, got 'many'"),
        ("data__batch__size", "3", "--data.batch.size: unknown option; did you mean --data.batch_size?"),
        ("model__head__dropuot", "3", "--model.head.dropuot: unknown option; did you mean --model.head.dropout?"),
        ("lr", "3", "--lr: unknown option; did you mean --model.optimizer.lr?"),
        ("optimizer__lr", "3", "--optimizer.lr: unknown option; did you mean --model.optimizer.lr?"),
        ("learning_rate", "3", "--learning_rate: unknown option; did you mean --model.optimizer.lr?"),
        ("epochs", "3", "--epochs: unknown option; did you mean --trainer.max_epochs?"),
        ("zzzz", "3", "--zzzz: unknown option"),
        ("model__num_classes", "5", "--model.num_classes: num_classes cannot be set; how many classes there are follows from the data"),
        ("model__head", "Dep", "--model.head: no Head is called 'Dep'; did you mean 'Deep'? (your own class: package.module.Class)"),
        ("model__phases", "[{epochs: x}]", "--model.phases: model.init_args.phases.0.epochs must be int or null, got 'x'"),
        ("model__optimizer", "fast", "--model.optimizer must be a mapping of name, lr, betas, options, got 'fast'"),
        ("data__weights", "all", "--data.weights must be a list of float or null, got 'all'"),
    ],
)  # fmt: skip
def test_a_wrong_option(resolved: Any, key: str, value: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        resolved(**{key: value})
    assert str(error.value) == message


def test_what_is_missing_is_named_by_its_option(resolved: Any) -> None:
    with pytest.raises(RecipeError, match=r"^model is missing: add --model VALUE or write it in the recipe$"):
        resolved("data: {class_path: Folder, init_args: {root: photos}}")


def test_all_faults_are_listed_by_their_lines_and_each_once(resolved: Any) -> None:
    text = (
        RECIPE.replace("seed: 3", "sead: 3")
        .replace("hidden: 4", "hiden: 4, dropout: x")
        .replace("max_epochs: 5", "max_epochs: five")
    )
    text = text.replace("root: photos", "batch_size: [1]").replace(
        "epochs: 2, train: [head]", "epochs: two, trane: [head]"
    )
    with pytest.raises(RecipeError) as error:
        resolved(text, model__optimizer__lr="fast", data__zzzz="1")
    assert str(error.value).splitlines() == [
        "the recipe has 10 faults:",
        "  photos.yaml:1: unknown key 'sead'; did you mean 'seed'?",
        "  photos.yaml:7: unknown key 'hiden' under model.init_args.head.init_args; did you mean 'hidden'?",
        "  photos.yaml:7: model.init_args.head.init_args.dropout must be float, got 'x'",
        "  photos.yaml:9: unknown key 'trane' under model.init_args.phases.0; did you mean 'train'?",
        "  photos.yaml:9: model.init_args.phases.0.epochs must be int or null, got 'two'",
        "  photos.yaml:15: data.init_args.batch_size must be int, got [1]",
        "  photos.yaml:17: trainer.max_epochs must be int or null, got 'five'",
        "  --model.optimizer.lr must be float, got 'fast'",
        "  --data.zzzz: unknown option",
        "  data.root is missing: add --data.root VALUE or write it in the recipe",
    ]


def test_nothing_is_imported_or_called_that_is_not_of_its_kind(
    resolved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "foreign.py").write_text(
        "from tests.recipe import conftest\n"
        "def called(*arguments, **options): raise AssertionError\n"
        "def unlike(*arguments) -> int: raise AssertionError\n"
        "class Unlike:\n    def __init__(self, *arguments): raise AssertionError\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for path in ("os.system", "foreign.called", "foreign.unlike", "foreign.Unlike", "os.path"):
        with pytest.raises(RecipeError) as error:
            resolved(model__head=path)
        assert str(error.value) == (
            f"--model.head: {path!r} is not a Head: expected a subclass of Head, or a function annotated to return one"
        )
    for path in ("../..", "a..b", ".a", "a.", "a.b c"):
        with pytest.raises(RecipeError, match=r"expected package\.module\.Name$"):
            resolved(model__head=path)


def test_the_options_are_the_values_that_can_be_set(resolved: Any, tmp_path: Path, section: Section) -> None:
    resolved()
    found = {
        option_name(place): node.value for place, _, node in options(read(tmp_path / "photos.yaml"), section.fields)
    }
    assert found["data.batch_size"] == 32
    assert found["model.head.hidden"] == 4
    assert {"seed", "model.phases", "model.optimizer.lr", "trainer.precision", "model.mixup"} <= set(found)
    assert not {"model", "data", "model.head", "model.classes", "model.optimizer"} & set(found)
