"""Faults and notes of a set."""

from __future__ import annotations

from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.sources.findings import Findings


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


def test_notes_with_a_kind_are_remarks_one_by_one() -> None:
    findings = Findings("photos")
    findings.note("boxes, skipped", ["a.xml: object 3"], "odd box", "is odd")
    findings.note("images, skipped", ["b.png"], "odd image", "is odd")
    assert findings.remarks_by_image()[findings.remarks[1]] == "b.png"
    assert findings.remarks == [
        Finding("odd box", "", "a.xml", "object 3 is odd"),
        Finding("odd image", "", "photos/b.png", "is odd"),
    ]


def test_faults_are_about_images() -> None:
    findings = Findings("photos", faults=["photos/1.txt: line 3 is odd", "a.json: x: y", "photos has no boxes"])
    findings.images.update({"photos/1.txt": "1.png", "a.json: x": "2.png"})
    assert list(findings.faults_by_image().values()) == ["1.png", "2.png", ""]
