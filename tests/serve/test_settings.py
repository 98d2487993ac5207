"""The limits of a server."""

from __future__ import annotations

from typing import Any

import pytest

from resnet_tl.errors import RecipeError
from resnet_tl.serve.settings import Settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"queue": 0}, r"^queue: 0; expected 1 or more"),
        ({"deadline_ms": -1}, r"^deadline_ms: -1; expected 0 or more"),
        ({"timeout_s": float("nan")}, r"^timeout_s: nan; expected 1 or more"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Settings(**values)


def test_an_image_need_not_wait() -> None:
    assert Settings(deadline_ms=0).deadline_ms == 0
