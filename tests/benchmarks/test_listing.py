from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import listing
from benchmarks.listing import LISTERS, figures, held, link


def test_links_are_listed_by_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LINKS", 50)
    link(tmp_path, 220)
    root = str(tmp_path / "images")
    ours, theirs = (lister(root) for lister in LISTERS.values())
    assert sum(map(len, ours.splits.values())) == len(theirs) == 220  # type: ignore[attr-defined, arg-type]
    assert ours.classes == theirs.classes  # type: ignore[attr-defined]
    assert len({path.stat().st_ino for path in Path(root).rglob("*.jpg")}) == 5
    assert 0 < held("resnet_tl", root) < held("torchvision", root)


def test_only_ours_has_a_goal() -> None:
    listed = [
        {"count": 1000, "lister": name, "seconds": [0.2, 0.1], "bytes": 250_000}
        for name in ("resnet_tl", "torchvision")
    ]
    ours, goal, theirs, none = figures({"listed": listed})
    assert (ours.row, ours.column, ours.value) == ("1,000 files", "resnet_tl, seconds", 0.1)
    assert (goal.value, goal.goal, goal.missed) == (250, 200, True)
    assert (theirs.column, none.goal) == ("torchvision, seconds", None)
