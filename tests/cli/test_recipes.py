"""`resnet-tl recipes`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.recipe.shipped import describe, shipped


def test_list_has_a_line_a_recipe(resnet_tl: Callable[..., Any]) -> None:
    done = resnet_tl("recipes list")
    assert done.code == 0
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert lines == {name: describe(path) for name, path in shipped().items()}


def test_show_prints_the_file(resnet_tl: Callable[..., Any]) -> None:
    assert resnet_tl("recipes show quickstart").out == shipped()["quickstart"].read_text()


def test_copy_makes_a_file_to_edit_and_never_overwrites(resnet_tl: Callable[..., Any], here: Path) -> None:
    text = shipped()["classify/folder_resnet50_probe"].read_text()
    text = f"# yaml-language-server: $schema=resnet_tl.schema.json\n{text}"
    (here / "mine").mkdir()
    assert resnet_tl("recipes copy classify/folder_resnet50_probe").code == 0
    assert resnet_tl("recipes copy classify/folder_resnet50_probe mine").code == 0
    assert resnet_tl("recipes copy classify/folder_resnet50_probe mine/other.yaml").code == 0
    made = ["folder_resnet50_probe.yaml", "mine/folder_resnet50_probe.yaml", "mine/other.yaml"]
    assert [(here / name).read_text() for name in made] == [text] * 3
    (here / "folder_resnet50_probe.yaml").write_text("mine")
    done = resnet_tl("recipes copy classify/folder_resnet50_probe")
    assert done == (2, "", "error: folder_resnet50_probe.yaml: exists already, and nothing is overwritten\n")
    assert (here / "folder_resnet50_probe.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("quickstart", "resnet-tl fit -c 'my copy.yaml'"),
        ("classify/folder_small_machine.yaml", "resnet-tl fit -c 'my copy.yaml' --data.root photos"),
        ("overlays/bf16", "resnet-tl fit -c classify/folder_resnet50_finetune -c 'my copy.yaml' --data.root photos"),
    ],
)
def test_copy_prints_a_command_with_what_the_recipe_needs(
    resnet_tl: Callable[..., Any], here: Path, name: str, command: str
) -> None:
    assert resnet_tl("recipes copy {} {}", name, "my copy.yaml").out == f"my copy.yaml   ({command})\n"


def test_a_copy_names_the_schema_next_to_it(resnet_tl: Callable[..., Any], here: Path) -> None:
    (here / "mine").mkdir()
    assert resnet_tl("recipes copy quickstart mine").code == 0
    schema = json.loads((here / "mine" / "resnet_tl.schema.json").read_text())
    assert json.loads(resnet_tl("recipes schema").out) == schema
    (here / "mine" / "resnet_tl.schema.json").write_text("mine")
    assert resnet_tl("recipes copy quickstart mine/other.yaml").code == 0
    assert (here / "mine" / "resnet_tl.schema.json").read_text() == "mine"
    assert resnet_tl("check -c mine/other.yaml") == (0, "ok\n", "")


def test_the_schema_is_written_to_a_new_file(resnet_tl: Callable[..., Any], here: Path) -> None:
    assert resnet_tl("recipes schema schema.json") == (0, "", "")
    assert json.loads((here / "schema.json").read_text())["$schema"].endswith("2020-12/schema")
    taken = resnet_tl("recipes schema schema.json")
    assert taken.err == "error: schema.json: exists already, and nothing is overwritten\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("recipes lst", "recipes has no 'lst': expected list, show, copy, schema; did you mean 'list'?"),
        ("recipes show", "recipes show: expected NAME"),
        ("recipes list all", "recipes list: expected nothing more"),
        ("recipes schema a b", "recipes schema: expected FILE or nothing"),
        ("recipes copy quickstart a b", "recipes copy: expected NAME and perhaps DEST"),
        ("recipes show zz", "no recipe 'zz': neither a file nor one that `resnet-tl recipes list` shows"),
    ],
)  # fmt: skip
def test_wrong_words(resnet_tl: Callable[..., Any], here: Path, line: str, message: str) -> None:
    assert resnet_tl(line) == (2, "", f"error: {message}\n")


def test_copy_makes_missing_folders(resnet_tl: Callable[..., Any], here: Path) -> None:
    assert resnet_tl("recipes copy quickstart some/where.yaml").code == 0
    assert (here / "some" / "where.yaml").is_file()
