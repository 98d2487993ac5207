"""What is embedded: small pictures, each once."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from resnet_tl.report.assets import Assets, vega_script


def test_an_image_is_embedded_once_and_a_broken_one_never(tmp_path: Path) -> None:
    for name, height in (("a.jpg", 2000), ("b.png", 40)):
        cv2.imwrite(str(tmp_path / name), np.full((height, 60, 3), (0, 0, 200), np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    paths = [str(tmp_path / name) for name in ("a.jpg", "broken.jpg", "b.png", "a.jpg")]
    assets = Assets()
    ids = assets.images(paths)
    assert list(ids) == [paths[0], paths[2]]
    assert assets.images(paths[:1]) == {paths[0]: ids[paths[0]]}
    assert len(assets.pictures) == 2
    data = base64.b64decode(assets.pictures[ids[paths[0]]].partition(",")[2])
    assert np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).mean((0, 1)) == pytest.approx([200, 0, 0], abs=4)


def test_the_script_does_not_end_its_own_element() -> None:
    assert "</script" not in vega_script()
    assert "window.vegaEmbed" in vega_script()
    assert len(vega_script()) < 1.5e6
