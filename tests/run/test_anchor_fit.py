"""Objects by the level whose anchors fit them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from resnet_tl.data.detection import BoxTable
from resnet_tl.run.anchor_fit import anchor_fit

SIDES = [(32, 32), (40, 40), (64, 60), (200, 190), (90, 45), (4, 4), (200, 8)]
"""(w, h) of objects in images of 256 x 256: RetinaNet's levels start with anchors of 32, 64, 128 ... pixels."""


@pytest.fixture
def data(tmp_path: Path) -> BoxTable:
    Image.new("RGB", (256, 256)).save(tmp_path / "a.png")
    Image.new("RGB", (256, 256)).save(tmp_path / "b.png")
    lines = [f"a.png,cat,0,0,{w},{h},train" for w, h in SIDES]
    (tmp_path / "set.csv").write_text("\n".join(["path,label,x1,y1,x2,y2,split", *lines, "b.png,cat,0,0,9,9,val"]))
    return BoxTable(str(tmp_path / "set.csv"), image_size=256)


def test_objects_by_the_level_that_fits_best(data: BoxTable) -> None:
    levels = {"stride 8": 2, "stride 16": 2, "stride 32": 1, "stride 64": 0, "stride 128": 0}
    assert anchor_fit(data, [], []) == {"head": "RetinaNet", "image_size": 256, "levels": levels, "none": 2}


def test_images_are_resized_as_in_training(data: BoxTable) -> None:
    data.image_size, data.max_size = 512, 512
    fit = anchor_fit(data, [], [])
    assert fit is not None
    assert fit["levels"] == {"stride 8": 0, "stride 16": 2, "stride 32": 2, "stride 64": 1, "stride 128": 0}


@pytest.mark.parametrize(("name", "head"), [("FasterRCNN", "FasterRCNN"), ("RetinaNet", "RetinaNet"), ("FCOS", None)])
def test_the_head_is_that_of_the_recipe(data: BoxTable, name: str, head: str | None) -> None:
    recipe: dict[str, Any] = {"class_path": "Detection", "init_args": {"head": {"class_path": name}}}
    fit = anchor_fit(data, [{"model": recipe}], [])
    assert (fit and fit["head"]) == head
