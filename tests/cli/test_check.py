# ruff: noqa: E501  (a table: options and their fault a line)
"""`resnet-tl check`: every fault at once, with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.recipe.shipped import shipped

PLANTED = """\
seed_everything: -3
model:
  class_path: Classification
  init_args:
    backbone: {name: resnet_tiny, drop_path: 1.5}
    head: {class_path: os.system}
    tuning:
      phases:
        - {epochs: 2, train: [haed]}
        - {train: all, layer_decay: .nan}
    optimizer: {name: sdg, lr: fast}
    mixup: -0.5
    mixup: 0.1
data:
  class_path: ImageFolder
  init_args: {root: photos, batch_sise: 3, augment: hevy}
trainer: {max_epochs: 5, accumulate_grad_batches: 0}
"""

FAULTS = [
    "bad.yaml:1: seed_everything must be int in [0, 4294967295], got -3",
    "bad.yaml:5: model.init_args.backbone.drop_path must be float in [0, 1), got 1.5",
    "bad.yaml:6: model.init_args.head: 'os.system' is not a Head: expected a subclass of Head, or a function annotated "
    "to return one",
    "bad.yaml:9: tuning.phases[0].train names 'haed', which no stage matches: stem, layer1, layer2, layer3, layer4, "
    "head; did you mean 'head'?",
    "bad.yaml:10: model.init_args.tuning.phases.1.layer_decay must be float in (0, 10], got nan",
    "bad.yaml:11: model.init_args.optimizer.lr must be float > 0, got 'fast'",
    "bad.yaml:11: optimizer.name is 'sdg', which is not sgd, adamw or one of timm's optimizers; did you mean 'sgd'?",
    "bad.yaml:13: duplicate key 'mixup', first on line 12",
    "bad.yaml:16: unknown key 'batch_sise' under data.init_args; did you mean 'batch_size'?",
    "bad.yaml:16: data.init_args.augment must be one of 'none', 'light', 'medium', 'strong', 'trivial', 'rand', "
    "got 'hevy'",
    "bad.yaml:17: trainer.accumulate_grad_batches must be int >= 1, got 0",
    "--data.num_workers must be int in [0, 1024], got -1",
]


@pytest.fixture
def bad(here: Path) -> Path:
    (here / "bad.yaml").write_text(PLANTED)
    return here


def test_twelve_planted_faults_are_listed_with_their_lines(resnet_tl: Callable[..., Any], bad: Path) -> None:
    done = resnet_tl("check -c bad.yaml --data.num_workers -1")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == FAULTS
    assert sorted(path.name for path in bad.iterdir()) == ["bad.yaml", "photos.yaml"]


def test_fit_gives_the_same_list(resnet_tl: Callable[..., Any], bad: Path) -> None:
    done = resnet_tl("fit -c bad.yaml --data.num_workers -1")
    assert done.code == 2
    header, *lines = done.err.splitlines()
    assert header == "error: the recipe has 12 faults:"
    assert lines == [f"  {line}" for line in resnet_tl("check -c bad.yaml --data.num_workers -1").err.splitlines()]


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        ("--trainer.max_epochs 1 --model.tuning.phases lpft", "lpft needs at least 2 epochs"),
        ("--model.tuning.phases '[{{epochs: 3}}]'", "last 3 epochs, but trainer.max_epochs is 2"),
        ("--model.tuning.phases '[{{epochs: 1, train: [head]}}, {{}}]'", "phases[0] freezes 'stem', whose weights are random"),
        ("--model.tuning.phases '[{{lr: {{layer9: 0.1}}}}]'", "tuning.phases[0].lr names 'layer9', which no stage matches"),
        ("--model.backbone.name resnet51", "there is no ResNet variant 'resnet51'; did you mean 'resnet50'?"),
        ("--model.backbone.name os.getcwd", "backbone.name: 'os.getcwd' is not a Trunk"),
        ("--model.schedule.name os.system", "schedule.name is 'os.system', expected"),
        ("--model.optimizer.options '{{beta: 1}}'", "rejects its arguments"),
    ],
)  # fmt: skip
def test_network_plan_and_rates_are_checked_without_data(
    resnet_tl: Callable[..., Any], here: Path, overrides: str, fault: str
) -> None:
    done = resnet_tl(f"check -c photos.yaml --data.root nowhere {overrides}")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert fault in done.err


@pytest.mark.parametrize("name", [name for name in shipped() if not name.startswith("overlays/")])
def test_every_shipped_recipe_lacks_its_data_alone(resnet_tl: Callable[..., Any], here: Path, name: str) -> None:
    done = resnet_tl(f"check -c {name}")
    if done.code == 0:
        assert done.out == "ok\n"
    else:
        assert done.err in (
            "data.root is missing: add --data.root VALUE or write it in the recipe\n",
            "data.csv is missing: add --data.csv VALUE or write it in the recipe\n",
        )


def test_a_recipe_is_needed_and_must_be_readable(resnet_tl: Callable[..., Any], here: Path) -> None:
    assert resnet_tl("check").err.startswith("error: check needs a recipe: -c RECIPE")
    (here / "broken.yaml").write_text("a: [1\n")
    assert resnet_tl("check -c broken.yaml").err.startswith("error: broken.yaml:2: not valid YAML")
