from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.errors import (
    DataError,
    RecipeError,
    RunError,
    UserError,
    WeightsError,
    did_you_mean,
    memory_full,
    printable,
)


def test_every_kind_is_a_user_error() -> None:
    assert all(issubclass(kind, UserError) for kind in (RecipeError, DataError, WeightsError, RunError))


def test_a_misspelt_word_suggests_the_closest_choice() -> None:
    assert did_you_mean("resnet05", ["resnet18", "resnet50", "resnet152"]) == "; did you mean 'resnet50'?"
    assert did_you_mean("vgg", ["resnet18", "resnet50"]) == did_you_mean("vgg", []) == ""


@given(st.lists(st.text("abc", min_size=1), min_size=1), st.data())
def test_a_valid_choice_suggests_itself(choices: list[str], data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(choices))
    assert did_you_mean(word, iter(choices)) == f"; did you mean {word!r}?"


@pytest.mark.parametrize(
    ("error", "begins"),
    [
        (MemoryError(), "this machine's memory is full: lower the batch size"),
        (np.empty, "this machine's memory is full: lower the batch size"),
        (
            MemoryError("a.png: no memory for its 9 x 9 pixels"),
            "a.png: no memory for its 9 x 9 pixels: lower the batch",
        ),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "this machine's"),
        (
            MemoryError("Caught MemoryError\nOriginal Traceback:\n  ...\nMemoryError: a.png: no memory for its 9 x 9"),
            "a.png: no memory for its 9 x 9: lower",
        ),
        (RuntimeError("Caught _ArrayMemoryError in DataLoader worker process 0."), "this machine's memory is full"),
    ],
)
def test_a_full_memory_is_a_sentence(error: Any, begins: str) -> None:
    if error is np.empty:
        with pytest.raises(MemoryError) as caught:
            np.empty(1 << 50)
        error = caught.value
    full = memory_full(error)
    assert full is not None
    assert str(full).startswith(begins)


def test_other_errors_are_not_a_full_memory() -> None:
    assert memory_full(RuntimeError("a bug")) is None
    assert memory_full(OSError(12, "Cannot allocate")) is None


def test_a_terminal_only_shows_what_is_printed() -> None:
    assert printable("a\x1b[31m\rb\a\x00\x9b \u202e.jpg") == r"a\x1b[31m\rb\x07\x00\x9b \u202e.jpg"
    assert printable(os.fsdecode(b"caf\xe9.jpg")) == r"caf\xe9.jpg"
    assert printable("\ud800") == r"\ud800"
    assert printable("Größe, 猫: \n  'x'") == "Größe, 猫: \n  'x'"
