"""Objects in COCO's format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.writers.coco import coco_file
from resnet_tl.prediction.writers.output import write

Detected = Callable[..., BoxPrediction]


def coco(path: Path, *predictions: BoxPrediction) -> dict:
    write(predictions, [coco_file(path, ["cell", "dust"], [7, 90])])
    return json.loads(path.read_text())


def test_the_format_is_cocos_with_the_data_sets_ids(tmp_path: Path, detected: Detected) -> None:
    content = coco(tmp_path / "a.json", detected(0, "p/a.jpg"), detected(1, "p/b.jpg", 0), detected(2, None, 1))
    assert content["categories"] == [{"id": 7, "name": "cell"}, {"id": 90, "name": "dust"}]
    assert content["images"][1] == {"id": 2, "file_name": "p/b.jpg", "height": 40, "width": 31}
    assert content["images"][2]["file_name"] == "2"
    first = {"id": 1, "image_id": 1, "category_id": 90, "bbox": [1, 2, 10, 20], "area": 200, "iscrowd": 0, "score": 0.9}
    assert content["annotations"][0] == first
    assert [entry["image_id"] for entry in content["annotations"]] == [1, 1, 3]


def test_images_named_by_numbers_have_them_as_ids(tmp_path: Path, detected: Detected) -> None:
    content = coco(tmp_path / "a.json", detected(0, "p/000000000139.jpg"), detected(1, "p/000000000285.jpg"))
    assert [image["id"] for image in content["images"]] == [139, 285]
    assert {entry["image_id"] for entry in content["annotations"]} == {139, 285}
    twice = coco(tmp_path / "b.json", detected(0, "p/1.jpg"), detected(1, "q/1.jpg"))
    assert [image["id"] for image in twice["images"]] == [1, 2]
    mixed = coco(tmp_path / "c.json", detected(0, "7.jpg"), detected(1, "x.jpg"))
    assert [image["id"] for image in mixed["images"]] == [1, 2]


def test_masks_are_compressed_run_lengths(tmp_path: Path, detected: Detected) -> None:
    from pycocotools import mask as coco_masks

    content = coco(tmp_path / "a.json", detected(0, "a.jpg", masks=True))
    pixels = [coco_masks.decode(entry["segmentation"]) for entry in content["annotations"]]
    assert [int(mask.sum()) for mask in pixels] == [entry["area"] for entry in content["annotations"]] == [20, 4]
    assert pixels[0][2:7, 1:5].all()
