"""Faults of a set: one error, or kept."""

from __future__ import annotations

import pytest

from resnet_tl.data.listings.faults import kept_faults, raise_if_any, raise_or_keep, refuse_or_keep
from resnet_tl.errors import DataError


def test_kept_faults_raise_nothing() -> None:
    with kept_faults() as faults:
        raise_or_keep("photos", {"a: is broken": "a"})
    assert faults == {"a: is broken": "a"}
    with pytest.raises(DataError, match="a: is broken"):
        raise_or_keep("photos", faults)


def test_what_is_refused_is_kept_one_by_one() -> None:
    with kept_faults() as faults:
        refuse_or_keep("two are broken", {"a: is broken": "a", "b: is broken": ""})
        refuse_or_keep("c: is broken")
    assert faults == {"a: is broken": "a", "b: is broken": "", "c: is broken": ""}
    with pytest.raises(DataError, match="two are broken"):
        refuse_or_keep("two are broken", {"a: is broken": "a", "b: is broken": ""})


def test_all_faults_are_one_error() -> None:
    raise_if_any("photos", [])
    with pytest.raises(DataError) as one:
        raise_if_any("photos", ["a: is broken"])
    assert str(one.value) == "photos has 1 fault:\n  a: is broken"
    with pytest.raises(DataError) as many:
        raise_if_any("photos", [f"{i}: is broken" for i in range(42)])
    lines = str(many.value).splitlines()
    assert lines[0] == "photos has 42 faults:"
    assert lines[-2:] == ["  39: is broken", "  and 2 more"]
