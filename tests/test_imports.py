"""What can be named by import path in a place, without calling it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from resnet_tl.errors import RecipeError
from resnet_tl.imports import asked_for, import_maker, import_object, makes, returns_function


class Base: ...


class Child(Base): ...


class Speaks(Protocol):
    volume: int

    def speak(self) -> str: ...


class Dog:
    def speak(self) -> str:
        return "woof"


def child() -> Child:
    raise AssertionError("called")


def perhaps() -> Child | None:
    raise AssertionError("called")


def nobody_knows():  # type: ignore[no-untyped-def]
    raise AssertionError("called")


def dog(loud: bool) -> Dog: ...  # type: ignore[empty-body]


def factor(steps: int) -> Callable[[int], float]: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("found", "base", "answer"),
    [
        (Child, Base, True),
        (child, Base, True),
        (perhaps, Base, False),
        (nobody_knows, Base, False),
        (functools.partial(child), Base, False),
        (print, Base, False),
        (Dog, Base, False),
        (Dog, Speaks, True),
        (dog, Speaks, True),
        (Child, Speaks, False),
        (Child, object, True),
        (child, object, True),
        (nobody_knows, object, False),
        (json, Base, False),
    ],
)
def test_what_makes_a_base(found: Any, base: type, answer: bool) -> None:
    assert makes(found, base) is answer


def test_functions_that_return_functions() -> None:
    assert returns_function(factor)
    assert not any(map(returns_function, (child, nobody_knows, Child, print, json)))


def test_what_is_accepted_in_words() -> None:
    assert asked_for(Base) == "a subclass of Base, or a function annotated to return one"
    assert asked_for(Speaks) == "a class with speak, or a function annotated to return one"
    assert asked_for(object) == "a class, or a function whose return type is annotated"


@pytest.mark.parametrize("path", ["", ".", "a", "a.", ".a", "../..", "a b.c", "1.2"])
def test_what_is_not_a_path_is_a_sentence(path: str) -> None:
    with pytest.raises(RecipeError, match=r"^cannot import .*: expected package\.module\.Name$"):
        import_object(path)


def test_another_kind_is_refused() -> None:
    assert import_maker("json.JSONDecoder", json.JSONDecoder) is json.JSONDecoder
    with pytest.raises(RecipeError, match=r"^'os\.system' is not a Base: expected a subclass of Base"):
        import_maker("os.system", Base)
