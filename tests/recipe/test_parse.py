"""The bounded reader: every hostile or broken text is one sentence with its line, at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.node import plain
from resnet_tl.recipe.parse import MAX_CHARACTERS, MAX_DEPTH, parse
from resnet_tl.recipe.read import override, read

LAUGHS = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, r"photos.yaml:1: not a recipe: more than 20,000 values, aliases written out"),
        (MERGED, r"photos.yaml:1: not a recipe: more than 20,000 values, aliases written out"),
        ("a: 1\nb: &b [*b]", r"photos.yaml:2: not a recipe: nested more than 100 deep"),
        ("a: &a {b: *a}", r"photos.yaml:1: not a recipe: nested more than 100 deep"),
        ("a: &a {<<: *a}", r"photos.yaml:1: not a recipe: nested more than 100 deep"),
        ("a: 1\nb: " + "[" * 5000 + "]" * 5000, r"photos.yaml:2: not a recipe: nested more than 100 deep"),
        ("a: " + "{a: " * 5000 + "}" * 5000, r"photos.yaml:1: not a recipe: nested more than 100 deep"),
        ("- " * 5000 + "a", r"photos.yaml:1: not a recipe: nested more than 100 deep"),
        ("\na: " + "9" * 5000, r"photos.yaml:2: not valid YAML: an integer of 5,000 digits \(put it in quotes .*"),
        ("a: 1000000000000000000", r"photos.yaml:1: not valid YAML: an integer of 19 digits \(put it in quotes .*"),
        ("\na: !!int abc", r"photos.yaml:2: not valid YAML: 'abc' is not an int"),
        ("a: !!int 1.5", r"photos.yaml:1: not valid YAML: '1.5' is not an int"),
        ("a: !!float x", r"photos.yaml:1: not valid YAML: 'x' is not a float"),
        ("a: !!bool maybe", r"photos.yaml:1: not valid YAML: 'maybe' is not a bool"),
        ("a: !!timestamp zz", r"photos.yaml:1: not valid YAML: unknown tag '.*timestamp'"),
        ("a: !!binary zz", r"photos.yaml:1: not valid YAML: unknown tag '.*binary'"),
        ("a: !!set {b}", r"photos.yaml:1: not valid YAML: unknown tag '.*set'"),
        ("a: !!int [1]", r"photos.yaml:1: not valid YAML: unknown tag '.*int'"),
        ("a: !!str {b: 1}", r"photos.yaml:1: not valid YAML: unknown tag '.*str'"),
        ("a: b\nc: \0", r"photos.yaml:2: not valid YAML: character U\+0000 is not text"),
        ('a: b\nc: "\\0"', r"photos.yaml:2: not valid YAML: character U\+0000 is not text"),
        ('a: "\\ud800"', r"photos.yaml:1: not valid YAML: character U\+D800 is not text"),
        ('"\\0": 1', r"photos.yaml:1: not valid YAML: character U\+0000 is not text"),
        ('a: "\\UFFFFFFFF"', r"photos.yaml: not valid YAML: .*"),
        ("a: {<<: 3}", r"photos.yaml:1: not valid YAML: expected a mapping to merge"),
        ("a: " + "x" * MAX_CHARACTERS, r"photos.yaml: not a recipe: more than 131,072 characters"),
    ],
)  # fmt: skip
def test_refused_at_once_in_one_sentence(text: str, message: str) -> None:
    start = time.process_time()  # of this process alone: others may keep it waiting
    with pytest.raises(RecipeError, match=f"^{message}$") as error:
        parse(text, "photos.yaml", [])
    assert time.process_time() - start < 5
    assert "\n" not in str(error.value)


def test_every_duplicate_key_is_reported_once() -> None:
    duplicates: list[str] = []
    tree = parse("a: 1\nb: &b {x: 1, x: 2}\na: 3\nc: *b\n", "photos.yaml", duplicates)
    assert sorted(duplicates) == [
        "photos.yaml:2: duplicate key 'x', first on line 2",
        "photos.yaml:3: duplicate key 'a', first on line 1",
    ]
    assert plain(tree) == {"a": 3, "b": {"x": 2}, "c": {"x": 2}}


def test_merged_mappings_count_from_the_first_and_below_own_keys() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {z: 3, <<: [*a, *b]}\n"
    assert plain(parse(text, "photos.yaml", []))["c"] == {"x": 1, "y": 1, "z": 3}


def test_what_is_within_bounds_is_read() -> None:
    deep = parse("a: " + "[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2), "photos.yaml", [])
    assert isinstance(deep.value["a"].value, list)
    infinite = plain(parse("[.inf, -.inf, +.INF, .nan, 1e5, !!float 3]", "photos.yaml", []))
    assert infinite[:3] == [float("inf"), float("-inf"), float("inf")]
    assert infinite[3] != infinite[3]
    assert infinite[4:] == [1e5, 3.0]


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(RecipeError, match="more than 131,072 characters"):
        read(Path("/dev/zero"))


@pytest.mark.parametrize("text", ["&a [*a]", "[" * 5000, "x" * (MAX_CHARACTERS + 1)])
def test_a_value_beyond_bounds_is_refused_as_an_option(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^--data\.root: not a recipe: "):
        override("data.root", text)


def test_an_option_of_other_bytes_or_too_many_parts_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^--data\.root: not text in UTF-8$"):
        override("data.root", "photos\udcff")
    with pytest.raises(RecipeError, match=r"^--a\.a\.a.*: unknown option$"):
        override(".".join("a" * 5000), "1")
