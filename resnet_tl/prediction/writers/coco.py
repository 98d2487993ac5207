"""Objects in COCO's JSON formats: a data set, and the list of results that COCO's tools score."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from resnet_tl.errors import DataError
from resnet_tl.metrics.coco import encode
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.writers.output import Add, image_name, new_file
from resnet_tl.structures.boxes import area, to_xywh
from resnet_tl.structures.masks import to_run_lengths
from resnet_tl.structures.records import Code


@contextmanager
def coco_file(
    path: Path, classes: Sequence[str], codes: Sequence[Code], scores: Sequence[float] | None = None
) -> Iterator[Add[BoxPrediction]]:
    """A data set: `images`, `annotations` (with `score`, and masks as compressed run lengths) and `categories`.

    An image's id is the number that its file is named by, as in COCO, if all files are named by different numbers;
    otherwise images are counted from 1.

    Args:
        codes: the category id of each class.
        scores: from which on objects of each class were predicted, `info.scores` of the file; None: no `info`.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []

    def add(prediction: BoxPrediction) -> None:
        height, width = prediction.image.shape[:2]
        name = image_name(prediction)
        images.append({"id": len(images) + 1, "file_name": name, "height": height, "width": width})
        for entry in _annotations(prediction, codes):
            annotations.append({"id": len(annotations) + 1, "image_id": len(images), **entry})

    with new_file(path) as file:
        yield add
        ids = _ids(images)
        for entry in images:
            entry["id"] = ids[entry["id"]]
        for entry in annotations:
            entry["image_id"] = ids[entry["image_id"]]
        categories = [{"id": code, "name": name} for code, name in zip(codes, classes, strict=True)]
        content: dict[str, Any] = {"images": images, "annotations": annotations, "categories": categories}
        if scores is not None:
            limits = {name: round(score, 6) for name, score in zip(classes, scores, strict=True)}
            content = {"info": {"scores": limits}, **content}
        json.dump(content, file, ensure_ascii=False)


@contextmanager
def results_file(
    path: Path, codes: Sequence[Code], image_ids: Mapping[str, Code] | None = None
) -> Iterator[Add[BoxPrediction]]:
    """`[{image_id, category_id, bbox, score, segmentation}, ...]`, as pycocotools' `loadRes` takes it. Boxes are not
    rounded. To score masks, remove `bbox`: `loadRes` takes the area from it where it is there.

    Args:
        codes: the category id of each class.
        image_ids: the id of each image by its file name, see `read_image_ids`; None: as in `coco_file`.

    Raises:
        DataError: an image that `image_ids` does not have.
    """
    images: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []

    def add(prediction: BoxPrediction) -> None:
        name = image_name(prediction)
        if image_ids is not None and Path(name).name not in image_ids:
            raise DataError(f"{name} is not among the images of --annotations; predict only those, or leave it out")
        images.append({"file_name": name})
        boxes = to_xywh(torch.from_numpy(prediction.boxes)).tolist()
        for entry, box, score in zip(_annotations(prediction, codes), boxes, prediction.scores, strict=True):
            shared = {key: value for key, value in entry.items() if key in ("category_id", "segmentation")}
            results.append({"image_id": len(images), **shared, "bbox": box, "score": float(score)})

    with new_file(path) as file:
        yield add
        ids = _ids(images) if image_ids is None else {}
        for entry in results:
            position = entry["image_id"]
            file_name = Path(images[position - 1]["file_name"]).name
            entry["image_id"] = ids[position] if image_ids is None else image_ids[file_name]
        json.dump(results, file, ensure_ascii=False)


def read_image_ids(path: Path) -> dict[str, Code]:
    """Returns the id of each image in a COCO JSON file by its file name, without folders.

    Raises:
        DataError: the file cannot be read, or names no images.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {Path(image["file_name"]).name: image["id"] for image in document["images"]}
    except OSError as error:
        raise DataError(f"--annotations {path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"--annotations {path}: not a COCO JSON file with images") from None


def _annotations(prediction: BoxPrediction, codes: Sequence[Code]) -> Iterator[dict[str, Any]]:
    boxes = torch.from_numpy(prediction.boxes)
    size = (prediction.image.shape[0], prediction.image.shape[1])
    values = zip(prediction.labels, prediction.scores, to_xywh(boxes).tolist(), area(boxes).tolist(), strict=True)
    for number, (label, score, box, square) in enumerate(values):
        entry = {"category_id": codes[label], "bbox": [round(edge, 2) for edge in box], "area": round(square, 2)}
        if prediction.masks is not None:
            mask = prediction.masks[number]
            counts = encode(to_run_lengths(mask.pixels, (mask.top, mask.left), size), *size).decode()
            entry |= {"segmentation": {"size": list(size), "counts": counts}, "area": int(mask.pixels.sum())}
        yield {**entry, "iscrowd": 0, "score": round(float(score), 6)}


def _ids(images: Sequence[dict[str, Any]]) -> dict[int, int]:
    """The id of each image, by its position counted from 1."""
    stems = [Path(image["file_name"]).stem for image in images]
    numbers = [int(stem) for stem in stems if stem.isdecimal()]
    by_name = len(set(numbers)) == len(images)
    return dict(enumerate(numbers if by_name else range(1, len(images) + 1), start=1))
