"""The public names, and what importing a part of the package imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resnet_tl
from resnet_tl.errors import RecipeError

COMMANDS = sorted(f"resnet_tl.cli.{path.stem}" for path in (Path(resnet_tl.__file__).parent / "cli").glob("[!_]*.py"))
PACKAGES = sorted(Path(resnet_tl.__file__).parent.rglob("__init__.py"))


def loaded_by(code: str) -> set[str]:
    """The top-level modules that `code` imports in a fresh interpreter."""
    script = f"import sys; before = set(sys.modules); {code}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_the_public_names_are_these_and_exist() -> None:
    assert set(resnet_tl.__all__) == {"FineTuning", "Network", "average", "backbone", "evaluate", "fit", "load"}
    assert all(callable(getattr(resnet_tl, name)) for name in resnet_tl.__all__)
    assert resnet_tl.__version__.count(".") == 2


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"resnet_tl.*'backbones'"):
        resnet_tl.backbones  # noqa: B018


@pytest.mark.parametrize(
    ("call", "name", "meant"),
    [
        (resnet_tl.fit, "rn", "run"),
        (resnet_tl.evaluate, "specifity", "specificity"),
        (resnet_tl.average, "gredy", "greedy"),
    ],
)
def test_a_misspelt_argument_is_no_override(call: Callable[..., Any], name: str, meant: str) -> None:
    sentence = rf"^resnet_tl.{call.__name__}: {name}: unknown argument; did you mean '{meant}'\?$"
    with pytest.raises(RecipeError, match=sentence):
        call("quickstart", **{name: "x"})
    with pytest.raises(RecipeError, match=r"^--lr: unknown option; did you mean --model.optimizer.lr\?$"):
        resnet_tl.fit("quickstart", lr=0.1)


def test_importing_the_package_takes_the_standard_library_alone() -> None:
    assert loaded_by("import resnet_tl") - set(sys.stdlib_module_names) == {"resnet_tl"}


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.parent.name)
def test_a_package_imports_nothing_at_once(path: Path) -> None:
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom):
            assert statement.module in {"__future__", "typing"}, ast.unparse(statement)
        assert not isinstance(statement, ast.Import), ast.unparse(statement)


@pytest.mark.parametrize(
    ("code", "without"),
    [
        ("import resnet_tl.models.resnet", "lightning timm wandb albumentations torchvision cv2"),
        ("import resnet_tl; resnet_tl.backbone('resnet10t')", "lightning timm wandb albumentations torchvision cv2"),
        ("import resnet_tl.models.network", "lightning timm wandb albumentations cv2"),
        ("import resnet_tl.tuning.resolve", "torch numpy lightning timm wandb albumentations"),
        ("import resnet_tl.data.images.decode", "torch lightning timm wandb albumentations"),
        ("import resnet_tl.prediction.classification", "lightning pytorch_lightning timm wandb"),
        ("import resnet_tl.metrics.classification", "lightning timm wandb albumentations"),
        ("import resnet_tl.checkpoint", "lightning timm wandb albumentations"),
        (f"import {', '.join(COMMANDS)}", "torch lightning timm wandb albumentations numpy"),
    ],
)
def test_an_import_avoids_what_it_does_not_need(code: str, without: str) -> None:
    assert loaded_by(code) & set(without.split()) == set()
