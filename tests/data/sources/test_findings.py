"""Faults and notes of a set."""

from __future__ import annotations

import pytest

from resnet_tl.data.sources.findings import Findings, raise_if_any
from resnet_tl.errors import DataError


def test_notes_name_the_first_and_count_all() -> None:
    findings = Findings("photos")
    findings.note("odd images", [])
    findings.note("odd images", ["a", "b"])
    findings.note("odd images", [str(i) for i in range(23)])
    assert findings.notes[0] == "photos: odd images (2): a, b"
    assert findings.notes[1].startswith("photos: odd images (23): 0, 1, ")
    assert findings.notes[1].endswith(", 18, 19, and 3 more")
    assert len(findings.notes) == 2
    assert Findings("photos", "a.csv").name == "a.csv"


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
