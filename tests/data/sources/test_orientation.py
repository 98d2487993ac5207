"""Which annotations are rotated with their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.orientation import Entry, measure


def save(path: Path, size: tuple[int, int], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path, exif=exif)


@pytest.mark.parametrize(("annotated", "orientations"), [((20, 30), [6, 3]), ((30, 20), [1, 1]), (None, [1, 1])])
def test_the_annotated_size_shows_whether_annotations_rotate(
    tmp_path: Path, annotated: tuple[int, int] | None, orientations: list[int]
) -> None:
    """Files of 20 x 30 (h, w): the first is upright at 30 x 20, the second (upside down) has one size either way."""
    save(tmp_path / "0.jpg", (20, 30), 6)
    save(tmp_path / "1.jpg", (20, 30), 3)
    findings = Findings(str(tmp_path))
    entries = [Entry("0.jpg", annotated, "a"), Entry("1.jpg", (20, 30), "b")]
    sizes, found = measure(entries, 3, findings)
    assert sizes.tolist() == [[30, 20], [20, 30]]
    assert found == orientations
    assert len(findings.notes) == (found[0] > 1)
    assert findings.faults == []


def test_a_size_that_fits_neither_is_a_fault_and_an_unreadable_image_keeps_its_own(tmp_path: Path) -> None:
    save(tmp_path / "0.jpg", (20, 30), 1)
    (tmp_path / "1.jpg").write_bytes(b"<html>")
    findings = Findings(str(tmp_path))
    entries = [Entry("0.jpg", (20, 31), "a"), Entry("1.jpg", (7, 8), "b"), Entry("1.jpg", None, "c")]
    sizes, found = measure(entries, 3, findings)
    assert sizes.tolist() == [[20, 30], [7, 8], [1, 1]]
    assert found == [1, 1, 1]
    assert findings.faults == ["a: is 30 x 20 pixels, but annotated as 31 x 20"]
