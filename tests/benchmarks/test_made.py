from __future__ import annotations

from pathlib import Path

import cv2

from benchmarks.made import photographs


def test_photographs_are_in_class_folders_and_about_as_large_as_real_ones(tmp_path: Path) -> None:
    paths = photographs(tmp_path, 4)
    assert [str(path.relative_to(tmp_path)) for path in paths] == ["0/0.jpg", "1/1.jpg", "0/2.jpg", "1/3.jpg"]
    assert all(30_000 < path.stat().st_size < 150_000 for path in paths)
    image = cv2.imread(str(paths[0]))
    assert image is not None
    assert image.shape == (375, 500, 3)
