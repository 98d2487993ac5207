from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from benchmarks.corruptions import FAMILIES, KINDS
from benchmarks.soups import figures, image_sets


def test_each_column_has_all_images_in_one_size(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 40))
    image = (np.stack([x, y, np.sin(9 * x * y) ** 2], -1) * 200 + 25).astype(np.uint8)
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "images" / name / "one.jpg"), image)
    sets = dict(image_sets(tmp_path / "images", tmp_path / "sets", ["contrast"], [1, 5], 32, 24))
    assert list(sets) == ["clean", "contrast 1", "contrast 5"]
    spreads = []
    for root in sets.values():
        files = sorted(root.glob("*/*.png"))
        assert [path.parent.name for path in files] == ["ant", "bee"]
        read = cv2.imread(str(files[0]))
        assert read is not None
        assert read.shape == (24, 24, 3)
        spreads.append(read.std())
    assert spreads[0] > spreads[1] > spreads[2]


def test_corruptions_are_averaged_run_by_run() -> None:
    rows = {"best mix": {"clean": [90.0, 92.0], "jpeg 1": [80.0, 84.0], "jpeg 5": [60.0, 62.0], "fog 1": [40, 40]}}
    found = {figure.column: figure for figure in figures({"rows": rows})}
    assert list(found) == ["clean", "corrupted", "weather", "digital"]
    assert found["clean"].value == 91
    assert (found["corrupted"].value, found["corrupted"].low, found["corrupted"].high) == (61, 60, 62)
    assert found["digital"].value == 71.5


def test_each_kind_is_of_one_family() -> None:
    assert sorted(kind for kinds in FAMILIES.values() for kind in kinds) == sorted(KINDS)
