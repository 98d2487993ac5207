"""Draws the sample images: python data/make_samples.py [FOLDER] (default: samples/ next to this file).

SEED decides everything; only numpy is needed. data/README.md describes what is in the folder.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from drawing import scenery
from drawing.canvas import Canvas
from drawing.photograph import SCENES, THINGS, exposed, place, portrait

SEED = 20151210  # the day on which "Deep residual learning" appeared on arXiv
OUTDOORS = tuple(scene for scene in SCENES if scene is not scenery.room)
CATEGORIES = ("bird", "car", "cat", "horse", "truck")


class Visible(NamedTuple):
    """A thing in a scene: the outlines of its parts, its visible pixels `[H, W]`, and whether these are all of it."""

    name: str
    outlines: list[np.ndarray]
    visible: np.ndarray
    whole: bool


def main(folder: Path) -> None:
    classification(folder / "classification", {"train": 20, "val": 50})
    detection(folder / "detection", {"train": 24, "val": 8})
    segmentation(folder / "segmentation", {"train": 24, "val": 8})
    overview(folder / "overview.png")


def classification(folder: Path, counts: dict[str, int], side: int = 32) -> None:
    """Writes {split}/{class}/{number}.png, with one thing per image."""
    for s, (split, count) in enumerate(counts.items()):
        for k, name in enumerate(THINGS):
            for i in range(count):
                write_png(folder / split / name / f"{i:03d}.png", portrait(image_rng(s, k, i), name, side))


def overview(path: Path, columns: int = 8, side: int = 32) -> None:
    """Writes the first validation images of every class, two classes per row."""
    rows = [[portrait(image_rng(1, k, i), name, side) for i in range(columns)] for k, name in enumerate(THINGS)]
    strips = [np.concatenate(row, axis=1) for row in rows]
    write_png(
        path, np.concatenate([np.concatenate(pair, axis=1) for pair in zip(strips[::2], strips[1::2], strict=True)])
    )


def image_rng(split: int, thing: int, number: int) -> np.random.Generator:
    return np.random.default_rng((SEED, 0, split, thing, number))


def detection(folder: Path, counts: dict[str, int], height: int = 128, width: int = 160) -> None:
    """Writes images/{split}_{number}.png and COCO's instances_{split}.json; the last image of each split is empty."""
    for s, (split, count) in enumerate(counts.items()):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for i in range(count):
            rng = np.random.default_rng((SEED, 1, s, i))
            canvas, things = crowd(rng, height, width, 0 if i == count - 1 else int(rng.integers(1, 6)))
            file_name = f"{split}_{i:02d}.png"
            images.append({"id": i + 1, "file_name": file_name, "height": height, "width": width})
            for thing in things:
                annotations.append({"id": len(annotations) + 1, "image_id": i + 1, **annotation(thing)})
            write_png(folder / "images" / file_name, exposed(rng, canvas.downsampled(), grain=0.004))
        categories = [{"id": k + 1, "name": name} for k, name in enumerate(CATEGORIES)]
        coco = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"instances_{split}.json").write_text(json.dumps(coco, separators=(",", ":")) + "\n")


def crowd(rng: np.random.Generator, height: int, width: int, count: int) -> tuple[Canvas, list[Visible]]:
    """Returns a scene with `count` things, nearer ones painted later; hardly visible ones are not listed."""
    canvas = Canvas(height, width)
    OUTDOORS[rng.integers(len(OUTDOORS))](rng, canvas)
    drawn = []
    for y in np.sort(rng.uniform(0.35, 0.8, size=count)) * height:
        name = str(rng.choice(CATEGORIES))
        size = height * rng.uniform(0.1, 0.3)
        drawn.append((name, *place(rng, canvas, THINGS[name], width * rng.uniform(0.1, 0.9), y, size)))
    things, taken = [], np.zeros(canvas.labels.shape, dtype=bool)
    for name, covered, outlines in reversed(drawn):
        visible = canvas.centres(covered & ~taken)
        if visible.sum() >= 40:
            things.append(Visible(name, outlines, visible, not (covered & taken).any()))
        taken |= covered
    return canvas, things[::-1]


def annotation(thing: Visible) -> dict[str, Any]:
    """Returns COCO's annotation of a thing: polygons where all of it is visible, otherwise run lengths."""
    visible = thing.visible
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    height, width = visible.shape
    segmentation: Any = {"size": [height, width], "counts": run_lengths(visible)}
    if thing.whole:
        edges = [np.clip(outline, 0, (width, height)).round(2) for outline in thing.outlines]
        segmentation = [edge.ravel().tolist() for edge in edges]
    left, top = int(columns[0]), int(rows[0])
    return {
        "category_id": CATEGORIES.index(thing.name) + 1,
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(visible.sum()),
        "iscrowd": 0,
        "segmentation": segmentation,
    }


def run_lengths(mask: np.ndarray) -> list[int]:
    """Returns COCO's uncompressed RLE: down the columns, zeros first."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends = [*changes.tolist(), mask.size]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def segmentation(folder: Path, counts: dict[str, int], side: int = 96) -> None:
    """Writes {split}/{images,masks}/{number}.png; masks index classes.txt, with 255 where classes meet in a pixel."""
    for s, (split, count) in enumerate(counts.items()):
        for i in range(count):
            rng = np.random.default_rng((SEED, 2, s, i))
            canvas = Canvas(side, side)
            OUTDOORS[rng.integers(len(OUTDOORS))](rng, canvas)
            for _ in range(rng.integers(0, 4)):
                thing = THINGS[str(rng.choice(list(THINGS)))]
                x, y = side * rng.uniform(0.1, 0.9), side * rng.uniform(0.3, 0.8)
                place(rng, canvas, thing, x, y, side * rng.uniform(0.12, 0.4))
            mask = np.where(canvas.mixed(), 255, canvas.centres(canvas.labels)).astype(np.uint8)
            write_png(folder / split / "images" / f"{i:02d}.png", exposed(rng, canvas.downsampled(), grain=0.004))
            write_png(folder / split / "masks" / f"{i:02d}.png", mask)
    (folder / "classes.txt").write_text("\n".join(scenery.LABELS) + "\n")


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes `[H, W, 3]` or `[H, W]` uint8, each row as its difference from the row above (PNG's filter 2)."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    differences = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    filtered = np.concatenate([np.full((height, 1), 2, dtype=np.uint8), differences], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in chunks:
            file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "samples")
