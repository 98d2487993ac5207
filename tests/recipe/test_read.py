"""Reading recipes, overlaying them, writing them back."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.node import Node, overlay, plain
from resnet_tl.recipe.read import override, read, write
from resnet_tl.recipe.shipped import shipped, shipped_root


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write_text(text: str) -> Node:
        path = tmp_path / "photos.yaml"
        path.write_text(text)
        return read(path, "photos.yaml")

    return write_text


def test_every_value_knows_its_line(written: Any) -> None:
    tree = written("# header\nmodel:\n  a: 1\n  b:\n    - x\n    - {c: 2}\n")
    assert tree.value["model"].value["a"] == Node(1, "photos.yaml:3")
    items = tree.value["model"].value["b"]
    assert items.where == "photos.yaml:4"
    assert [item.where for item in items.value] == ["photos.yaml:5", "photos.yaml:6"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0e-4", 1e-4),
        ("-3", -3),
        (".5", 0.5),
        ("true", True),
        ("~", None),
        ("", None),
        ("off", "off"),
        ("no", "no"),
        ("00:01:00:00", "00:01:00:00"),
        ("2024-01-01", "2024-01-01"),
        ("007", "007"),
        ("1_000", "1_000"),
        ('"3"', "3"),
        ("${shipped}/data", f"{shipped_root()}/data"),
    ],
)
def test_scalars_are_what_they_look_like(written: Any, text: str, value: Any) -> None:
    got = written(f"key: {text}").value["key"].value
    assert got == value
    assert type(got) is type(value)


def test_anchors_and_merged_mappings_work(written: Any) -> None:
    tree = written("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert plain(tree)["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1, 2\n", r"^photos.yaml:3: not valid YAML: "),
        ("a:\n\tb: 1\n", r"^photos.yaml:2: not valid YAML: .*\(indent with spaces\)$"),
        ("a: 1\nb: 2\na: 3\n", r"^photos.yaml:3: duplicate key 'a', first on line 1$"),
        ("- a\n- b\n", r"^photos.yaml: not a recipe: .* got a list$"),
        ("just words\n", r"^photos.yaml: not a recipe: .* got 'just words'$"),
        ("a: !!python/object:os.system {}\n", r"^photos.yaml:1: not valid YAML: unknown tag .*os.system'"),
        ("? [a, b]\n: 1\n", r"^photos.yaml:1: not a recipe: a key must be a word"),
        ("a: \x07\n", r"^photos.yaml:1: not valid YAML: character U\+0007 is not text$"),
        ("a: *nothing\n", r"^photos.yaml:1: not valid YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", r"^photos.yaml:2: not valid YAML: "),
    ],
)
def test_what_is_no_recipe_is_one_line_with_its_place(written: Any, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as error:
        written(text)
    assert "\n" not in str(error.value)


def test_a_binary_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(RecipeError, match=r"image\.yaml: not a recipe: a recipe is YAML, text in UTF-8"):
        read(tmp_path / "image.yaml")
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        read(tmp_path)


def test_an_empty_file_is_an_empty_recipe(written: Any) -> None:
    assert written("# nothing yet\n").value == {}


def test_damaged_recipes_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    draw, path, refused = random.Random(0), tmp_path / "photos.yaml", 0
    texts = [source.read_text() for source in shipped().values()]
    for _ in range(300):
        text = list(draw.choice(texts))
        for _ in range(draw.randint(1, 3)):
            place = draw.randrange(len(text))
            text[place : place + draw.randint(0, 2)] = draw.choice(
                ["", "{", "}", "[", ":", "- ", "\t", "'", "&", "*", "!"]
            )
        path.write_text("".join(text))
        message = refusal(path)
        if message is not None:
            refused += 1
            assert message.startswith("photos.yaml")
            assert "\n" not in message
    assert 50 < refused < 300


def refusal(path: Path) -> str | None:
    try:
        read(path, "photos.yaml")
    except RecipeError as error:
        return str(error)
    return None


def test_mappings_are_merged_and_the_rest_replaced(written: Any) -> None:
    under = written("a: {x: 1, y: [1, 2]}\nb: 1\n")
    over = written("a: {y: [3]}\nc: 2\n")
    assert plain(overlay(under, over)) == {"a": {"x": 1, "y": [3]}, "b": 1, "c": 2}
    assert plain(under) == {"a": {"x": 1, "y": [1, 2]}, "b": 1}


def test_null_replaces_a_mapping(written: Any) -> None:
    assert plain(overlay(written("a: {x: 1}"), override("a", "null"))) == {"a": None}


def test_another_class_leaves_the_old_ones_options_behind(written: Any) -> None:
    under = written("head: {class_path: Linear, init_args: {dropout: 0.1}}")
    same = overlay(under, written("head: {class_path: Linear, init_args: {pool: max}}"))
    other = overlay(under, written("head: {class_path: MLP, init_args: {pool: max}}"))
    left = {key: node.left_over for key, node in other.value["head"].value["init_args"].value.items()}
    assert left == {"dropout": True, "pool": False}
    assert not same.value["head"].value["init_args"].value["dropout"].left_over


def test_a_word_upon_an_object_names_its_class(written: Any) -> None:
    under = written("head: {class_path: Linear, init_args: {dropout: 0.1}}")
    assert plain(overlay(under, override("head", "MLP")))["head"]["class_path"] == "MLP"


def test_an_option_keeps_what_was_typed() -> None:
    node = override("data.root", "2024").value["data"].value["root"]
    assert (node.value, node.text, node.where) == (2024, "2024", "--data.root")
    assert override("a", "[1, {b: c}]").value["a"].value[1].value["b"].value == "c"
    assert override("a", "{not: [yaml").value["a"].value == "{not: [yaml"


def test_what_is_written_reads_back_equal(tmp_path: Path) -> None:
    values = {"a": [1, 2.5, 1e-05, None, True, "off", "1e-4", "no", "ä: b", "", "007", "x" * 300], "b": {}, "c": []}
    write(values, tmp_path / "recipe.yaml")
    assert plain(read(tmp_path / "recipe.yaml")) == values
    with pytest.raises(FileExistsError):
        write(values, tmp_path / "recipe.yaml")


def test_an_option_of_an_item_that_a_list_does_not_have() -> None:
    under = Node({"phases": Node([Node({}, "a.yaml:2"), Node({}, "a.yaml:3")], "a.yaml:1")}, "a.yaml")
    with pytest.raises(RecipeError, match=r"^--phases\.7\.epochs: no item 7 in this list; expected one of 0, 1$"):
        overlay(under, override("phases.7.epochs", "1"))
