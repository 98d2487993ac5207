"""What was found, as files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.errors import DataError, RunError
from resnet_tl.models.pasting import Cutout
from resnet_tl.prediction.box_files import coco_file, drawings, table_file, write
from resnet_tl.prediction.detection import BoxPrediction


def found(index: int, path: str | None, objects: int = 2, masks: bool = False, channels: int = 3) -> BoxPrediction:
    boxes = np.array([[1, 2, 11, 22], [0, 0, 30.5, 40]], np.float32)[:objects]
    cutouts = [Cutout(np.ones((5, 4), bool), 2, 1), Cutout(np.ones((2, 2), bool), 38, 28)][:objects]
    image = np.zeros((40, 31, channels), np.uint16 if channels > 3 else np.uint8)
    scores, labels = np.array([0.9, 0.3], np.float32)[:objects], np.array([1, 0])[:objects]
    names = ["cell", "dust"]
    return BoxPrediction(
        index, path, image, boxes, scores, labels, [names[k] for k in labels], cutouts if masks else None
    )


def coco(path: Path, *predictions: BoxPrediction) -> dict:
    write(predictions, [coco_file(path, ["cell", "dust"], [7, 90])])
    return json.loads(path.read_text())


def test_cocos_format_with_the_sets_own_ids(tmp_path: Path) -> None:
    content = coco(tmp_path / "a.json", found(0, "p/a.jpg"), found(1, "p/b.jpg", 0), found(2, None, 1))
    assert content["categories"] == [{"id": 7, "name": "cell"}, {"id": 90, "name": "dust"}]
    assert content["images"][1] == {"id": 2, "file_name": "p/b.jpg", "height": 40, "width": 31}
    assert content["images"][2]["file_name"] == "2"
    first = {"id": 1, "image_id": 1, "category_id": 90, "bbox": [1, 2, 10, 20], "area": 200, "iscrowd": 0, "score": 0.9}
    assert content["annotations"][0] == first
    assert [entry["image_id"] for entry in content["annotations"]] == [1, 1, 3]


def test_images_called_by_numbers_have_them_as_ids(tmp_path: Path) -> None:
    content = coco(tmp_path / "a.json", found(0, "p/000000000139.jpg"), found(1, "p/000000000285.jpg"))
    assert [image["id"] for image in content["images"]] == [139, 285]
    assert {entry["image_id"] for entry in content["annotations"]} == {139, 285}
    twice = coco(tmp_path / "b.json", found(0, "p/1.jpg"), found(1, "q/1.jpg"))
    assert [image["id"] for image in twice["images"]] == [1, 2]
    assert [image["id"] for image in coco(tmp_path / "c.json", found(0, "7.jpg"), found(1, "x.jpg"))["images"]] == [
        1,
        2,
    ]


def test_masks_are_compressed_run_lengths(tmp_path: Path) -> None:
    from pycocotools import mask as coco_masks

    content = coco(tmp_path / "a.json", found(0, "a.jpg", masks=True))
    pixels = [coco_masks.decode(entry["segmentation"]) for entry in content["annotations"]]
    assert [int(mask.sum()) for mask in pixels] == [entry["area"] for entry in content["annotations"]] == [20, 4]
    assert pixels[0][2:7, 1:5].all()


def test_a_table_has_a_line_an_object(tmp_path: Path) -> None:
    assert write([found(0, "a.jpg"), found(1, "b.jpg", 0)], [table_file(tmp_path / "a.csv")]) == 2
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert rows[0] == {"path": "a.jpg", "label": "dust", "score": "0.900000", "x1": "1.00", "y1": "2.00"} | {
        "x2": "11.00",
        "y2": "22.00",
    }
    assert len(rows) == 2


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_drawings_of_equal_names_are_numbered(channels: int, tmp_path: Path) -> None:
    same = [found(0, "p/a.jpg", channels=channels), found(1, "q/a.jpg", channels=channels)]
    write([*same, found(2, None, masks=True)], [drawings(tmp_path / "drawn")])
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["000002.jpg", "a.jpg", "a_1.jpg"]
    with Image.open(tmp_path / "drawn/a.jpg") as image:
        assert image.mode == "RGB"


def test_nothing_is_overwritten_and_nothing_half_is_left(tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("mine")
    with pytest.raises(RunError, match=r"there\.json exists"):
        coco(tmp_path / "there.json", found(0, "a.jpg"))
    assert (tmp_path / "there.json").read_text() == "mine"
    with pytest.raises(RunError, match="exists"):
        write([], [drawings(tmp_path)])

    def failing():
        yield found(0, "a.jpg")
        raise DataError("b.jpg: damaged")

    with pytest.raises(DataError):
        write(
            failing(), [coco_file(tmp_path / "new.json", ["cell", "dust"], [7, 90]), table_file(tmp_path / "new.csv")]
        )
    assert not list(tmp_path.glob("new.*"))
