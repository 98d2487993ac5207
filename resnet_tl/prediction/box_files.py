"""What was found on images, as files: COCO's json, a table, images to look at. Nothing is overwritten."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from resnet_tl.errors import RunError
from resnet_tl.prediction.classification import free_name, name_of, new_file
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.drawing import draw
from resnet_tl.structures.boxes import area, to_xywh
from resnet_tl.structures.masks import to_run_lengths

DRAWN = 0.4
"""What is less sure is not drawn, unless another score is asked for: a head's own threshold is made for mAP."""

Add: TypeAlias = Callable[[BoxPrediction], None]
Output: TypeAlias = AbstractContextManager[Add]


def write(predictions: Iterable[BoxPrediction], outputs: Sequence[Output]) -> int:
    """Each prediction to each output, as it comes. Gives the number of images.

    Raises RunError: an output's file or folder exists, or cannot be written.
    """
    count = 0
    with ExitStack() as stack:
        adds = [stack.enter_context(output) for output in outputs]
        for prediction in predictions:
            count += 1
            for add in adds:
                add(prediction)
    return count


@contextmanager
def coco_file(path: Path, classes: Sequence[str], codes: Sequence[int]) -> Iterator[Add]:
    """A set in COCO's format: `images`, `annotations` (with `score`, and masks as compressed run lengths) and
    `categories`, by their ids in the training set.

    An image's id is the number that its file is called by, as COCO has it, where all files are called by different
    numbers; else images are counted from 1.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []

    def add(found: BoxPrediction) -> None:
        height, width = found.image.shape[:2]
        images.append({"id": len(images) + 1, "file_name": name_of(found), "height": height, "width": width})
        for entry in _annotations(found, codes):
            annotations.append({"id": len(annotations) + 1, "image_id": len(images), **entry})

    with new_file(path) as file:
        yield add
        ids = _ids(images)
        for entry in images:
            entry["id"] = ids[entry["id"]]
        for entry in annotations:
            entry["image_id"] = ids[entry["image_id"]]
        categories = [{"id": code, "name": name} for code, name in zip(codes, classes, strict=True)]
        json.dump({"images": images, "annotations": annotations, "categories": categories}, file, ensure_ascii=False)


@contextmanager
def table_file(path: Path) -> Iterator[Add]:
    """A line an object: `path,label,score,x1,y1,x2,y2`."""
    with new_file(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", "label", "score", "x1", "y1", "x2", "y2"])

        def add(found: BoxPrediction) -> None:
            for name, score, box in zip(found.classes, found.scores, found.boxes, strict=True):
                table.writerow([name_of(found), name, f"{score:.6f}", *(f"{side:.2f}" for side in box)])

        yield add


@contextmanager
def drawings(folder: Path, score: float = DRAWN) -> Iterator[Add]:
    """`<image's name>.jpg` with boxes, names, scores and masks of what is at least so sure. Images of the same name
    are numbered."""
    names: set[str] = set()

    def add(found: BoxPrediction) -> None:
        image(found, score).save(folder / f"{free_name(found, names)}.jpg", quality=92)

    new_folder(folder)
    yield add


def new_folder(path: Path) -> None:
    """Raises RunError: it exists, or cannot be made."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise RunError(f"{path} exists, and nothing is overwritten; name another folder") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None


def image(found: BoxPrediction, score: float = DRAWN) -> Any:
    """A Pillow image of a prediction; many-channelled images by their first channel, 16 bits stretched to 8."""
    shown = found.image
    if shown.dtype != np.uint8:
        shown = (shown / max(int(shown.max()), 1) * 255).astype(np.uint8)
    rgb = shown if shown.shape[2] == 3 else np.repeat(shown[..., :1], 3, axis=2)
    sure = int((found.scores >= score).sum())  # the surest come first
    words = [f"{name} {100 * value:.0f} %" for name, value in zip(found.classes, found.scores, strict=True)]
    masks = None if found.masks is None else found.masks[:sure]
    return draw(rgb, found.boxes[:sure], found.labels[:sure].tolist(), words[:sure], masks)


def _annotations(found: BoxPrediction, codes: Sequence[int]) -> Iterator[dict[str, Any]]:
    import torch

    boxes = torch.from_numpy(found.boxes)
    size = (found.image.shape[0], found.image.shape[1])
    values = zip(found.labels, found.scores, to_xywh(boxes).tolist(), area(boxes).tolist(), strict=True)
    for number, (label, score, box, covered) in enumerate(values):
        entry = {"category_id": codes[label], "bbox": [round(side, 2) for side in box], "area": round(covered, 2)}
        if found.masks is not None:
            from resnet_tl.metrics.coco import encode

            mask = found.masks[number]
            counts = encode(to_run_lengths(mask.pixels, (mask.top, mask.left), size), *size).decode()
            entry |= {"segmentation": {"size": list(size), "counts": counts}, "area": int(mask.pixels.sum())}
        yield {**entry, "iscrowd": 0, "score": round(float(score), 6)}


def _ids(images: Sequence[dict[str, Any]]) -> dict[int, int]:
    """The id of each image, counted from 1 so far."""
    stems = [Path(image["file_name"]).stem for image in images]
    numbers = [int(stem) for stem in stems if stem.isdecimal()]
    by_name = len(set(numbers)) == len(images)
    return dict(enumerate(numbers if by_name else range(1, len(images) + 1), start=1))
