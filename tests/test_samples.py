"""The drawn samples: the generator draws exactly what is committed, and the annotations fit the images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
SAMPLES = DATA / "samples"


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def pixels(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


@pytest.mark.slow
def test_the_generator_draws_the_committed_samples(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DATA / "make_samples.py", tmp_path], check=True)
    assert files(tmp_path) == files(SAMPLES)
    # pixels and not files: another zlib compresses the same pixels to other bytes
    differ = [
        name
        for name in files(SAMPLES)
        if not (
            np.array_equal(pixels(tmp_path / name), pixels(SAMPLES / name))
            if name.endswith(".png")
            else (tmp_path / name).read_text() == (SAMPLES / name).read_text()
        )
    ]
    assert differ == []


def test_the_samples_are_small() -> None:
    assert sum((SAMPLES / name).stat().st_size for name in files(SAMPLES)) < 4_000_000


def test_ten_classes_with_few_training_and_many_validation_images() -> None:
    for split, count in (("train", 20), ("val", 50)):
        folders = sorted((SAMPLES / "classification" / split).iterdir())
        assert [len(list(folder.glob("*.png"))) for folder in folders] == [count] * 10
        assert pixels(next(folders[0].glob("*.png"))).shape == (32, 32, 3)


def test_no_image_occurs_twice() -> None:
    seen = {pixels(path).tobytes() for path in (SAMPLES / "classification").rglob("*.png")}
    assert len(seen) == 700


@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_areas_and_polygons_agree(split: str) -> None:
    coco = json.loads((SAMPLES / "detection" / f"instances_{split}.json").read_text())
    shapes = {image["id"]: (image["height"], image["width"]) for image in coco["images"]}
    kinds = set()
    for line in coco["annotations"]:
        mask = rasterised(line["segmentation"], shapes[line["image_id"]])
        kinds.add(type(line["segmentation"]))
        x, y, w, h = line["bbox"]
        assert mask[y : y + h, x : x + w].sum() > 0.9 * mask.sum()
        assert abs(int(mask.sum()) - line["area"]) <= 0.25 * line["area"] + 10
    assert kinds == {list, dict}
    assert {image["id"] for image in coco["images"]} - {line["image_id"] for line in coco["annotations"]}


def rasterised(segmentation: list[list[float]] | dict[str, list[int]], shape: tuple[int, int]) -> np.ndarray:
    if isinstance(segmentation, dict):
        runs = segmentation["counts"]
        assert segmentation["size"] == list(shape)
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        return flat.reshape(shape, order="F")
    mask = np.zeros(shape, np.uint8)
    for outline in segmentation:
        # pixel i spans i...i+1, OpenCV counts from pixels' centres; 4 bits of fraction
        cv2.fillPoly(mask, [np.rint((np.array(outline).reshape(-1, 2) - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool)


def test_masks_have_only_listed_classes() -> None:
    classes = (SAMPLES / "segmentation" / "classes.txt").read_text().split()
    values: set[int] = set()
    for path in (SAMPLES / "segmentation").rglob("masks/*.png"):
        mask = pixels(path)
        image = pixels(path.parents[1] / "images" / path.name)
        assert mask.ndim == 2
        assert mask.shape == image.shape[:2]
        values |= set(np.unique(mask).tolist())
    assert values == {*range(len(classes)), 255}
