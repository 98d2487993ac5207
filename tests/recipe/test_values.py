"""Single values: as types read them, as users see types."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from resnet_tl.recipe.hints import describe, parse
from resnet_tl.recipe.node import Node
from resnet_tl.recipe.values import as_plain, show


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "int"),
        (int | None, "int or null"),
        (None | bool, "true or false or null"),
        (Literal["a"], "'a'"),
        (list[float] | Literal["auto"], "a list of float or 'auto'"),
        (tuple[int, ...], "a list of int"),
        (list[dict[str, Any]], "a list of a mapping"),
        (dict[str, float], "a mapping to float"),
        (timedelta | None, "a number of seconds or null"),
        (Any, "anything"),
    ],
)
def test_types_in_a_users_words(hint: Any, words: str) -> None:
    assert describe(hint) == words


@pytest.mark.parametrize(
    ("hint", "value", "got"),
    [
        (float, 3, 3.0),
        (float, "1e-4", 1e-4),
        (int | float | None, 0.5, 0.5),
        (tuple[int, ...], [1, 2], [1, 2]),
        (Path, "a/b", "a/b"),
        (timedelta | None, 60, 60.0),
        (Any, {"a": [1]}, {"a": [1]}),
        (dict[int, int], {"0": 2, "30": 1}, {0: 2, 30: 1}),
        (str | None, None, None),
        (Any, None, None),
        (list[int] | str | int, 2, 2),
    ],
)
def test_a_value_as_its_type_reads_it(hint: Any, value: Any, got: Any) -> None:
    result = parse(as_tree(value), hint)
    assert result == got
    assert type(result) is type(got)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, True),
        (int, None),
        (bool, 1),
        (str, 3),
        (list[int], "a"),
        (dict[int, int], {"a": 1}),
        (dict[int, int], {"0": "1"}),
        (int, "a\nb"),
        (timedelta, "soon"),
        (timedelta, True),
    ],
)
def test_a_value_that_is_not_of_its_type(hint: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        parse(as_tree(value), hint)


def test_a_long_value_is_shown_short_and_on_one_line() -> None:
    text = show(Node("x\n" * 200, "photos.yaml:1"))
    assert len(text) == 80
    assert "\n" not in text


def test_defaults_become_what_a_recipe_would_say() -> None:
    assert as_plain({"a": (1, Path("x")), "b": timedelta(minutes=1)}) == {"a": [1, "x"], "b": 60.0}
    assert as_plain(Path) == {"class_path": "pathlib.Path"}


def as_tree(value: Any) -> Node:
    if isinstance(value, dict):
        return Node({key: as_tree(child) for key, child in value.items()}, "photos.yaml:1")
    return Node([as_tree(child) for child in value] if isinstance(value, list) else value, "photos.yaml:1")


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (0, "0"), (True, "true"), (False, "false"), (None, "null"), ([1, "b"], "[1, 'b']")]
)
def test_a_value_in_a_message_is_what_was_written(value: Any, text: str) -> None:
    assert show(as_tree(value)) == text
