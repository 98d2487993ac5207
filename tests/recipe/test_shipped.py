"""Finding recipes by name: from the clone here, from a wheel in the slow test."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.shipped import describe, find, shipped, shipped_root

ROOT = Path(__file__).resolve().parents[2]


def test_names_are_paths_below_recipes_without_the_ending() -> None:
    names = shipped()
    assert {"quickstart", "classify/folder_resnet50_finetune", "overlays/debug"} <= set(names)
    assert all(path.is_file() for path in names.values())


def test_a_file_is_found_before_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickstart").write_text("model: {}")
    assert find("quickstart") == shipped()["quickstart"]
    monkeypatch.chdir(tmp_path)
    assert find("quickstart").resolve() == tmp_path / "quickstart"
    assert find("quickstart.yaml") == shipped()["quickstart"]


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("quikstart", "quickstart"),
        ("folder_resnet50_finetune", "classify/folder_resnet50_finetune"),
        ("clasify/folder_resnet50_probe", "classify/folder_resnet50_probe"),
        ("ddp.yaml", "overlays/ddp"),
    ],
)
def test_an_unknown_name_gets_the_nearest_whole_name(wrong: str, near: str) -> None:
    with pytest.raises(RecipeError, match=f"no recipe '{wrong}'.*did you mean '{near}'"):
        find(wrong)


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(RecipeError) as error:
        find("zzzz")
    assert "did you mean" not in str(error.value)


def test_the_description_is_the_first_sentence_of_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("# recipes/a.yaml\n#\n# What it does.\n# More.\nmodel: 1\n# not this\n")
    assert describe(path) == "What it does."
    path.write_text("model: 1\n# too late\n")
    assert describe(path) == ""


@pytest.mark.slow
def test_a_wheel_holds_recipes_samples_and_pages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    assert (tmp_path / "site" / "resnet_tl" / "serve" / "page" / "index.html").is_file()
    script = (
        "from resnet_tl.recipe.shipped import *; print(shipped_root()); print(*shipped()); "
        "print((shipped_root() / 'data' / 'samples' / 'classification' / 'train' / 'cat').is_dir())"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    root, names, samples = done.stdout.splitlines()
    assert Path(root).is_relative_to(tmp_path / "site")
    assert names.split() == list(shipped())
    assert samples == "True"


def test_the_root_holds_the_samples_of_the_quick_start() -> None:
    assert (shipped_root() / "data" / "samples" / "classification" / "train").is_dir()
