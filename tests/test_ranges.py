"""Ranges as part of types: what is within, in which words, and a constructor that refuses the rest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Le, MinLen, MultipleOf

from resnet_tl.errors import RecipeError
from resnet_tl.ranges import (
    Fraction,
    FractionBelow1,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    allowed,
    checked,
    within,
)

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("hint", "inside", "outside", "words"),
    [
        (PositiveInt, [1, 9, "a", None, True], [0, -1, 0.5, 3.0], "int >= 1"),
        (Fraction, [0, 1, 0.5], [-0.1, 1.1, NAN, INF], "float in [0, 1]"),
        (FractionBelow1, [0, 0.99], [1, NAN], "float in [0, 1)"),
        (PositiveFloat | None, [None, 1e-9], [0, -1, INF], "float > 0 or null"),
        (float, [0.0, -1e9], [NAN, INF, -INF, 1e39], "float"),
        (Annotated[float, Ge(0), Le(0)] | Annotated[float, Ge(0.5)], [0, 0.5, 1], [0.1, NAN], "0 or float >= 0.5"),
        (Annotated[int, Ge(0), MultipleOf(32)], [0, 64], [33, -32], "int >= 0, a multiple of 32"),
        (
            Annotated[list[PositiveFloat], MinLen(1)],
            [[1.0], (2, 3)],
            [[], [1.0, 0.0]],
            "a list of float > 0, not empty",
        ),
        (tuple[PositiveFloat, PositiveFloat], [(1, 2)], [(1,), (1, 2, 3), (0, 1)], "a list of 2 float > 0"),
        (PositiveInt | Fraction, [1, 0.5], [1.5], "int >= 1 or float in [0, 1]"),
        (int | tuple[PositiveInt, PositiveInt], [-5, (1, 1)], [(0, 1)], "int or a list of 2 int >= 1"),
        (dict[str, PositiveFloat], [{}, {"a": 1}], [{"a": 0}], "a mapping to float > 0"),
        (Literal["a", "b"], ["a", 3], ["c"], "one of 'a', 'b'"),
        (Literal["auto"] | list[NonNegativeInt], ["auto", [0]], ["off", [-1]], "'auto' or a list of int >= 0"),
        (list[str] | str, ["a", ["b"]], [], "a list of str or str"),
        (Sequence[PositiveInt], [[1]], [[0]], "a list of int >= 1"),
        (Any, [0, NAN], [], "anything"),
    ],
)
def test_what_is_within(hint: Any, inside: list[Any], outside: list[Any], words: str) -> None:
    assert allowed(hint) == words
    assert [within(value, hint) for value in inside] == [True] * len(inside)
    assert [within(value, hint) for value in outside] == [False] * len(outside)


@checked("optimizer")
@dataclass(frozen=True)
class Rates:
    lr: PositiveFloat = 0.1
    name: Literal["sgd", "adam"] = "sgd"


@checked("data")
class Data:
    def __init__(self, root: str, *, batch_size: PositiveInt = 32) -> None:
        self.root, self.batch_size = root, batch_size


class Folder(Data):
    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rates(lr=0.0), "optimizer.lr must be float > 0, got 0.0"),
        (lambda: Rates(-1), "optimizer.lr must be float > 0, got -1"),
        (lambda: replace(Rates(), lr=NAN), "optimizer.lr must be float > 0, got nan"),
        (lambda: Rates(name="sdg"), "optimizer.name must be one of 'sgd', 'adam', got 'sdg'; did you mean 'sgd'?"),
        (lambda: Data("x", batch_size=0), "data.batch_size must be int >= 1, got 0"),
        (lambda: Folder("x", batch_size=-3), "data.batch_size must be int >= 1, got -3"),
    ],
)
def test_a_constructor_refuses_what_is_outside(make: Any, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        make()
    assert str(error.value) == message


def test_what_is_within_is_built_as_ever() -> None:
    assert Rates(0.5) == Rates(lr=0.5)
    assert vars(Folder("x", batch_size=3)) == {"root": "x", "batch_size": 3}
    with pytest.raises(TypeError, match="batch_sice"):
        Data("x", batch_sice=3)  # type: ignore[call-arg]


def test_nothing_heavy_is_imported() -> None:
    script = (
        "import sys, resnet_tl.ranges; print(sorted({'torch', 'pydantic', 'numpy', 'lightning'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"
