"""COCO's objects painted into masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.sources.painted_masks import read_coco_masks, read_tool_masks
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

SAMPLES = Path(__file__).parents[3] / "data" / "samples" / "detection"


def square(x: int, y: int, side: int) -> list[float]:
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def thing(number: int, category: int, at: tuple[int, int, int], **more: Any) -> dict[str, Any]:
    box = [at[0], at[1], at[2], at[2]]
    given = {"id": number, "image_id": 1, "category_id": category, "bbox": box, "segmentation": [square(*at)]}
    return {**given, "iscrowd": 0, **more}


def write(root: Path, annotations: list[Any]) -> Path:
    """Writes two images, the second one without objects."""
    categories = [{"id": 44, "name": "dog"}, {"id": 2, "name": "cat"}, {"id": 50, "name": "sofa"}]
    images = [{"id": n, "file_name": f"{n}.png", "width": 30, "height": 20} for n in (1, 2)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "train.json").write_text(json.dumps(document))
    for image in images:
        Image.new("RGB", (30, 20)).save(root / str(image["file_name"]))
    return root


def test_small_objects_are_painted_over_large_ones_and_crowds_ignored(tmp_path: Path) -> None:
    crowd = {"size": [20, 30], "counts": [400, 200]}  # all columns from 20 on
    annotations = [
        thing(1, 44, (4, 4, 3)),
        thing(2, 2, (2, 2, 10)),
        thing(3, 44, (18, 10, 4)),
        thing(4, 2, (20, 0, 10), iscrowd=1, segmentation=crowd),
    ]
    assert read_coco_masks(str(write(tmp_path, annotations))).classes == ["background", "cat", "dog"]
    found = read_coco_masks(str(tmp_path), keep_empty=True)
    assert found.classes == ["background", "cat", "dog", "sofa"]
    expected = np.zeros((20, 30), np.uint8)
    expected[:, 20:] = IGNORE
    expected[2:12, 2:12] = 1
    expected[4:7, 4:7] = expected[10:14, 18:22] = 2
    listing: Any = found.splits["train"]
    assert (listing.mask(0) == expected).all()
    assert (listing.mask(1) == 0).all()
    assert listing[0].target == (1, 2)
    assert found.pixels.tolist() == [400 + 600 - 100 - 8, 91, 25, 0]
    assert found.notes[-1].endswith("no training mask shows sofa")
    assert (listing.select(np.array([1, 0])).mask(1) == expected).all()
    moved: Any = read_coco_masks(str(write(tmp_path, [thing(1, 44, (5, 4, 3)), *annotations[1:]]))).splits["train"]
    assert listing.cache_key() != moved.cache_key()


def test_boxes_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its objects have only boxes; expected polygons or run lengths"):
        read_coco_masks(str(write(tmp_path, [thing(1, 2, (2, 2, 10), segmentation=[])])))


def test_polygons_of_an_annotation_tool_are_painted(tmp_path: Path) -> None:
    """A small dog on a large cat: the smaller one is on top, everything else is background."""
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    shapes = [
        {"label": "dog", "points": [[10, 10], [20, 10], [20, 20], [10, 20]], "shape_type": "polygon"},
        {"label": "cat", "points": [[5, 5], [35, 5], [35, 25], [5, 25]], "shape_type": "polygon"},
    ]
    content = {"shapes": shapes, "imagePath": "a.png", "imageHeight": 30, "imageWidth": 40}
    (tmp_path / "a.json").write_text(json.dumps(content))
    found = read_tool_masks(str(tmp_path))
    assert found.classes == ["background", "cat", "dog"]
    mask = found.splits["train"].mask(0)
    assert (mask[10:20, 10:20] == 2).all()
    assert np.bincount(mask.ravel()).tolist() == [40 * 30 - 600, 500, 100]
