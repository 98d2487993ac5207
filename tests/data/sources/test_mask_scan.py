"""Masks read once, before anything is decided about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.class_masks import Coding, Pixels, UnknownColour
from resnet_tl.data.sources import mask_scan
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.mask_scan import scan_masks, scan_of


def test_values_colours_and_pixels_are_counted() -> None:
    scan = scan_of(Pixels(np.array([[3, 3, 0], [0, 9, 9]], np.uint8), "grey"))
    assert (scan.size, scan.values.tolist(), scan.counts.tolist()) == ((2, 3), [0, 3, 9], [2, 2, 2])
    palette = np.arange(256, dtype=np.uint32) * 2
    scan = scan_of(Pixels(np.array([[1, 1, 5]], np.uint8), "palette", palette))
    assert (scan.values.tolist(), scan.colours.tolist()) == ([1, 5], [2, 10])
    assert scan.stored(Coding(np.zeros(256, np.uint8), {2: 7, 10: 8}, palettes=True)).tolist() == [7, 8]
    assert scan.stored(Coding(np.zeros(256, np.uint8), {})).tolist() == [1, 5]
    colours = scan_of(Pixels(np.array([[0x101010, 0xFF0000]], np.uint32), "colour"))
    with pytest.raises(UnknownColour, match="is a mask of mode RGB"):
        colours.stored(Coding(np.zeros(256, np.uint8), {}))


def test_of_a_photo_the_first_values_are_recorded() -> None:
    pixels = np.random.default_rng(0).integers(0, 1 << 24, (90, 90), np.uint32)
    assert len(scan_of(Pixels(pixels, "colour")).values) == mask_scan.MOST


def test_edges_are_no_plateaus() -> None:
    ramp = np.repeat(np.array([[0, 0, 60, 130, 190, 255, 255]], np.uint8), 9, 0)
    scan = scan_of(Pixels(ramp, "grey"))
    assert (scan.between, scan.plateaus) == (27, 0)
    third = np.repeat(np.array([[0, 0, 120, 120, 125, 125, 255]], np.uint8), 9, 0)
    scan = scan_of(Pixels(third, "grey"))
    assert (scan.between, scan.plateaus) == (36, 18)


def test_masks_that_cannot_be_read_are_faults_and_large_splits_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_scan, "SCANNED", 2)
    for number in range(3):
        Image.new("L", (3, 2)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no mask")
    findings = Findings(str(tmp_path))
    pairs = [(f"{number}.jpg", f"{number}.png") for number in range(3)]
    scans = scan_masks(str(tmp_path), {"train": pairs}, findings)
    assert [each.pair for each in scans["train"]] == pairs[:1]
    assert findings.faults[0].startswith(f"{tmp_path}/2.png: not a readable mask")
    assert findings.notes == [f"{tmp_path}: 2 of the 3 masks of train were checked"]
