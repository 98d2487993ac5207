"""Sets of each task, as a data class reads them, and the same packed."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnet_tl.data.base import ImageData
from resnet_tl.data.classification import ImageFolder, ImageTable
from resnet_tl.data.detection import CocoDetection
from resnet_tl.data.packing.pack import pack
from resnet_tl.data.regression import RegressionTable
from resnet_tl.data.segmentation import CocoSegmentation, MaskFolder
from resnet_tl.data.shards import DetectionShards, RegressionShards, SegmentationShards, Shards
from resnet_tl.recipe.shipped import shipped_root

SAMPLES = shipped_root() / "data" / "samples"
SMALL: dict[str, Any] = {"batch_size": 4, "num_workers": 0, "seed": 3}
OF_CLASSES = {**SMALL, "image_size": 48, "augment": "strong"}
OF_OBJECTS = {**SMALL, "image_size": 64, "scale": (0.5, 1.5), "augment": "strong"}
OF_MASKS = {**SMALL, "image_size": 64, "augment": "strong"}


def table(folder: Path, several: bool) -> str:
    """A CSV of the samples' classes: `val` has a column; several: the images of val have a second class."""
    files = sorted((SAMPLES / "classification").glob("*/*/*.png"))
    rows = [
        (
            file.relative_to(SAMPLES / "classification").as_posix(),
            f"{file.parent.name}|{'val' if file.parts[-3] == 'val' else 'other'}" if several else len(file.stem) + row,
        )
        for row, file in enumerate(files)
    ]
    path = folder / "table.csv"
    with open(path, "w", newline="") as opened:
        csv.writer(opened).writerows([("path", "label" if several else "age"), *rows])
    return str(path)


def as_folder(folder: Path, **options: Any) -> ImageData:
    return ImageFolder(str(SAMPLES / "classification"), **{**OF_CLASSES, **options})


def several_classes(folder: Path, **options: Any) -> ImageData:
    """Without a split of its own."""
    root = str(SAMPLES / "classification")
    return ImageTable(table(folder, True), root, **{**OF_CLASSES, **options})


def numbers(folder: Path, **options: Any) -> ImageData:
    root = str(SAMPLES / "classification")
    return RegressionTable(table(folder, False), root, **{**OF_CLASSES, **options})


def objects(folder: Path, **options: Any) -> ImageData:
    return CocoDetection(str(SAMPLES / "detection"), **{**OF_OBJECTS, **options})


def mask_files(folder: Path, **options: Any) -> ImageData:
    return MaskFolder(str(SAMPLES / "segmentation"), **{**OF_MASKS, **options})


def painted(folder: Path, **options: Any) -> ImageData:
    return CocoSegmentation(str(SAMPLES / "detection"), **{**OF_MASKS, **options})


SETS: dict[str, tuple[Callable[..., ImageData], Any, dict[str, Any]]] = {
    "classes": (as_folder, Shards, OF_CLASSES),
    "several classes": (several_classes, Shards, OF_CLASSES),
    "numbers": (numbers, RegressionShards, OF_CLASSES),
    "objects": (objects, DetectionShards, OF_OBJECTS),
    "mask files": (mask_files, SegmentationShards, OF_MASKS),
    "painted masks": (painted, SegmentationShards, OF_MASKS),
}


def packed_photos(folder: Path, shards: int = 1, **options: Any) -> Path:
    """Packs the samples' classes into about so many shards of training images; returns their folder."""
    data = as_folder(folder)
    training = sum(Path(sample.path).stat().st_size for sample in data.listings["train"])
    pack(data, str(folder / "packed"), shard_mb=training / shards / 1e6 + 1e-6, **options)
    return folder / "packed"
