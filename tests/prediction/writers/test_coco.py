"""Objects in COCO's format."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from resnet_tl import evaluate, fit
from resnet_tl.errors import DataError
from resnet_tl.metrics.coco import NAMES
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.load import load
from resnet_tl.prediction.writers.coco import coco_file, read_image_ids, results_file
from resnet_tl.prediction.writers.output import write
from resnet_tl.recipe.shipped import shipped_root

Detected = Callable[..., BoxPrediction]
SAVED = Path(__file__).resolve().parents[2] / "fixtures" / "saved_2026_11"
SAMPLES = shipped_root() / "data" / "samples" / "detection"


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


def test_the_file_names_the_scores_from_which_on_objects_were_predicted(tmp_path: Path, detected: Detected) -> None:
    path = tmp_path / "a.json"
    write([detected(0, "a.jpg")], [coco_file(path, ["cell", "dust"], [7, 90], [0.25, 0.4000000059604645])])
    assert json.loads(path.read_text())["info"] == {"scores": {"cell": 0.25, "dust": 0.4}}
    assert "info" not in coco(tmp_path / "b.json", detected(0, "a.jpg"))


def test_ids_that_are_text_come_back_as_they_are(tmp_path: Path, detected: Detected) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"images": [{"id": "first", "file_name": "a.jpg"}]}))
    ids = read_image_ids(tmp_path / "a.json")
    write([detected(0, "p/a.jpg")], [results_file(tmp_path / "results.json", ["x", "y"], ids)])
    results = json.loads((tmp_path / "results.json").read_text())
    assert {(entry["image_id"], entry["category_id"]) for entry in results} <= {("first", "x"), ("first", "y")}
    assert results


def test_images_named_by_numbers_have_them_as_ids(tmp_path: Path, detected: Detected) -> None:
    content = coco(tmp_path / "a.json", detected(0, "p/000000000139.jpg"), detected(1, "p/000000000285.jpg"))
    assert [image["id"] for image in content["images"]] == [139, 285]
    assert {entry["image_id"] for entry in content["annotations"]} == {139, 285}
    twice = coco(tmp_path / "b.json", detected(0, "p/1.jpg"), detected(1, "q/1.jpg"))
    assert [image["id"] for image in twice["images"]] == [1, 2]
    mixed = coco(tmp_path / "c.json", detected(0, "7.jpg"), detected(1, "x.jpg"))
    assert [image["id"] for image in mixed["images"]] == [1, 2]


def test_masks_are_compressed_run_lengths(tmp_path: Path, detected: Detected) -> None:
    content = coco(tmp_path / "a.json", detected(0, "a.jpg", masks=True))
    pixels = [masks.decode(entry["segmentation"]) for entry in content["annotations"]]
    assert [int(mask.sum()) for mask in pixels] == [entry["area"] for entry in content["annotations"]] == [20, 4]
    assert pixels[0][2:7, 1:5].all()


RECIPE = {
    "model": {
        "class_path": "Detection",
        "init_args": {
            "backbone": {"name": "resnet_tiny"},
            "neck": {"class_path": "FPN", "init_args": {"channels": 8, "outputs": ["p3", "p4", "p5"]}},
            "head": {"class_path": "MaskRCNN", "init_args": {"samples": 16, "detections": 30}},
            "tuning": {"allow_untrained": True},
            "optimizer": {"name": "adamw", "lr": 0.003},
        },
    },
    "trainer": {"max_epochs": 1, "precision": "32-true", "accelerator": "cpu"},
}


def data(root: Path) -> dict:
    return {
        "class_path": "CocoDetection",
        "init_args": {"root": str(root), "image_size": 128, "batch_size": 4, "num_workers": 0},
    }


def narrowed(result: dict, number: int) -> dict:
    """The result as annotation `number`: the left 62 to 92 % of its box and of its mask (at no threshold of IoU)."""
    left, top, width, height = result["bbox"]
    width *= 0.62 + 0.1 * (number % 4)
    mask = masks.decode(result["segmentation"])
    mask[:, max(1, round(left + width)) :] = 0
    encoded = masks.encode(mask)
    return {
        "id": number,
        "image_id": result["image_id"],
        "category_id": result["category_id"],
        "bbox": [left, top, width, height],
        "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode()},
        "area": int(mask.sum()),
        "iscrowd": 0,
    }


def test_pycocotools_scores_results_as_validate_does(tmp_path: Path) -> None:
    """The twelve numbers of boxes and of masks, from the written file alone. The truth is what the
    network found, narrowed, so that no score depends on how well an epoch went. (Validation pads its batches to
    multiples of 32 pixels, and 128 x 160 needs no padding.)"""
    root = tmp_path / "data"
    shutil.copytree(SAMPLES, root)
    run = fit({**RECIPE, "data": data(root)}, run=tmp_path / "run")
    predictor = run.predictor()
    annotations = root / "instances_val.json"
    content = json.loads(annotations.read_text())
    images = [root / "images" / image["file_name"] for image in content["images"]]
    outputs = [results_file(tmp_path / "results.json", predictor.codes, read_image_ids(annotations))]
    write(predictor.stream(images, score=0), outputs)
    results = json.loads((tmp_path / "results.json").read_text())
    found = [each for each in results if masks.area(each["segmentation"]) > 0]
    truth = [narrowed(each, number) for number, each in enumerate(found, start=1)]
    annotations.write_text(json.dumps({**content, "annotations": truth}))
    expected = evaluate(run)["metrics"]
    for kind, prefix in (("bbox", "val/"), ("segm", "val/mask_")):
        if kind == "segm":  # with a box, `loadRes` would take its area for the mask's
            results = [{key: value for key, value in each.items() if key != "bbox"} for each in results]
        with contextlib.redirect_stdout(io.StringIO()):
            true = COCO(str(annotations))
            evaluation = COCOeval(true, true.loadRes(results), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        assert [expected[f"{prefix}{name}"] for name in NAMES] == pytest.approx(evaluation.stats.tolist(), abs=1e-6)
        assert 0.1 < evaluation.stats[0] < 0.9


def test_results_have_the_ids_of_the_annotations_or_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"images": [{"id": 77, "file_name": "x/b.jpg"}]}))
    ids = read_image_ids(tmp_path / "a.json")
    assert ids == {"b.jpg": 77}
    with pytest.raises(DataError, match=r"val_00\.png is not among the images of --annotations"):
        write(
            load(SAVED / "detection.ckpt").stream([SAMPLES / "images" / "val_00.png"]),
            [results_file(tmp_path / "results.json", [1], ids)],
        )
    assert not (tmp_path / "results.json").exists()
    for text in ("[]", "{", '{"images": [1]}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(DataError, match="not a COCO JSON file with images"):
            read_image_ids(tmp_path / "a.json")
