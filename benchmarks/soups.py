"""WiSE-FT mixes and soups of runs, on clean and on corrupted images.

python -m benchmarks soups RUN [RUN ...] --images DIR [--side 224] [--saved N] [--severities 1 3 5] [--kinds fog ...]
    [--mixes 11] [--write]

The runs are of one recipe with several seeds, from the same weights, whose plan trains the head alone first, so that
each has checkpoints/head.ckpt. --images holds <class>/*.jpg: other images, or the runs' validation images, on which the
chosen mix and the greedy soup are a little optimistic. Every image is resized to 8/7 of --side, cropped to its middle,
corrupted, and saved as PNG; the clean ones likewise, so that all columns differ by the corruption alone. For networks
of small images, --saved N saves them with sides of N pixels: data.image_size / data.crop of the runs, to which these
would resize them anyway.

Kinds and their five severities are those of `corruptions`, whose constants are for images of 224 pixels.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import resnet_tl
from benchmarks.corruptions import FAMILIES, KINDS, Pixels, as_bytes, corrupted
from benchmarks.figures import Figure, over_seeds, write
from benchmarks.machine import machine

Row = dict[str, list[float]]
"""Accuracies in % by column, one a run."""


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "images"
        saved = options.saved or options.side
        sets = list(image_sets(options.images, made, options.kinds, options.severities, options.side, saved))
        rows: dict[str, Row] = {}
        for name, file in weights(options.runs, Path(scratch), options.mixes):
            found = accuracies(file, dict(sets))
            row = rows.setdefault(name, {column: [] for column in found})
            for column, accuracy in found.items():
                row[column].append(accuracy)
            print(f"{name:<14} " + "  ".join(f"{column} {found[column]:.1f}" for column in found), flush=True)
    if options.write:
        settings = {"side": options.side, "saved": saved, "severities": options.severities}
        measured = {"machine": machine(), "images": options.images.name, "settings": settings, "rows": rows}
        write("soups", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    """Clean accuracy, the mean over all corruptions and over those of each family, of each kind of weights over the
    runs."""
    found = []
    for name, row in results["rows"].items():
        corrupt = {column: values for column, values in row.items() if column != "clean"}
        columns = {"clean": ["clean"], "corrupted": list(corrupt)}
        for family, kinds in FAMILIES.items():
            columns[family] = [column for column in corrupt if column.split()[0] in kinds]
        for column, members in columns.items():
            if members:
                means = [statistics.mean(of_run) for of_run in zip(*(row[each] for each in members), strict=True)]
                found.append(over_seeds("soups", name, column, means, "%"))
    return found


def accuracies(file: Path, sets: dict[str, Path]) -> dict[str, float]:
    """Returns the accuracy in % on each folder of <class>/*.png."""
    predictor, found = resnet_tl.load(str(file)), {}
    for column, root in sets.items():
        files = sorted(root.glob("*/*.png"))
        best = [predicted.classes[0] for predicted in predictor.predict(files, top=1)]  # type: ignore[union-attr]
        right = [name == path.parent.name for name, path in zip(best, files, strict=True)]
        found[column] = 100 * statistics.mean(right)
    return found


def weights(runs: Sequence[Path], scratch: Path, mixes: int) -> Iterator[tuple[str, Path]]:
    """Yields checkpoints by name: of each run all mixes and the one that validation chooses, and soups of all runs."""
    for number, run in enumerate(runs):
        head, end = run / "checkpoints" / "head.ckpt", run / "checkpoints" / "last.ckpt"
        yield "mix 0", head
        for part in range(1, mixes - 1):
            share = part / (mixes - 1)
            mix = scratch / f"{number}_{part}.ckpt"
            yield f"mix {share:g}", resnet_tl.average([end, head], mix, shares=[share, 1 - share]).path
        yield "mix 1", end
        yield "best mix", resnet_tl.average(end, scratch / f"{number}.ckpt", wise_ft=True).path
    if len(runs) > 1:
        yield "uniform soup", resnet_tl.average(runs, scratch / "uniform.ckpt").path
        yield "greedy soup", resnet_tl.average(runs, scratch / "greedy.ckpt", greedy=True).path


def image_sets(
    images: Path, scratch: Path, kinds: Sequence[str], severities: Sequence[int], side: int, saved: int
) -> Iterator[tuple[str, Path]]:
    """Yields folders of images `<class>/*.png` by column: clean ones, and each kind in each severity.

    side, saved: in pixels, of the squares that are corrupted, and as they are saved.
    """
    columns = [("clean", "", 0), *((f"{kind} {severity}", kind, severity) for kind in kinds for severity in severities)]
    files = [path for path in sorted(images.glob("*/*")) if cv2.haveImageReader(str(path))]
    squares = [middle(np.asarray(cv2.imread(str(path)))[..., ::-1], side) for path in files]
    for column, kind, severity in columns:
        root = scratch / column.replace(" ", "_")
        for number, (path, pixels) in enumerate(zip(files, squares, strict=True)):
            changed = as_bytes(corrupted(pixels, kind, severity, seed=number) if kind else pixels)
            if saved != side:
                changed = cv2.resize(changed, (saved, saved), interpolation=cv2.INTER_AREA)
            copy = root / path.parent.name / f"{path.stem}.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(cv2.imencode(".png", changed[..., ::-1])[1].tobytes())
        yield column, root


def middle(image: NDArray[np.uint8], side: int) -> Pixels:
    """Returns the middle `side` x `side` of an image whose shorter side is resized to 8/7 of it, as 256 is of 224."""
    scale = round(side * 8 / 7) / min(image.shape[:2])
    size = [max(side, round(length * scale)) for length in image.shape[1::-1]]
    resized = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    top, left = ((length - side) // 2 for length in resized.shape[:2])
    return resized[top : top + side, left : left + side].astype(np.float32) / 255


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks soups")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--images", required=True, type=Path, help="folder of <class>/*.jpg")
    parser.add_argument("--side", type=int, default=224, help="of the images that are corrupted, in pixels")
    parser.add_argument("--saved", type=int, help="their side afterwards; by default the same")
    parser.add_argument("--severities", type=int, nargs="+", choices=range(1, 6), default=[1, 3, 5])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--mixes", type=int, default=11, help="of each run, its two ends included")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/soups.json")
    return parser
