"""WiSE-FT mixes and soups of runs, on clean and on corrupted images.

python -m benchmarks soups RUN [RUN ...] --images DIR [--side 224] [--severities 1 3 5] [--kinds contrast ...] [--write]

The runs are of one recipe with several seeds, from the same weights, whose plan trains the head alone first, so that
each has checkpoints/head.ckpt. --images holds <class>/*.jpg: other images, or the runs' validation images, on which the
chosen mix and the greedy soup are a little optimistic. Every image is resized to 8/7 of --side, cropped to its middle,
corrupted, and saved as PNG; the clean ones likewise, so that all columns differ by the corruption alone.

Kinds and their five severities are those of ImageNet-C (arXiv:1903.12261) that need no further images or programs, with
the constants of ImageNet-C/create_c/make_imagenet_c.py in github.com/hendrycks/robustness (commit e0377d46), which are
for images of 224 pixels.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import resnet_tl
from benchmarks.figures import Figure, over_seeds, write
from benchmarks.machine import machine

Pixels = NDArray[np.float32]
"""`[H, W, 3]`, RGB, 0...1."""
Row = dict[str, list[float]]
"""Accuracies in % by column, one a run."""


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        sets = dict(image_sets(options.images, Path(scratch), options.kinds, options.severities, options.side))
        rows: dict[str, Row] = {}
        for name, file in weights(options.runs, Path(scratch)):
            row = rows.setdefault(name, {column: [] for column in sets})
            for column, root in sets.items():
                found = resnet_tl.evaluate(file, "test", **{"data.root": root})
                row[column].append(100 * found["metrics"][f"test/{found['headline']}"])
            print(f"{name:<14} " + "  ".join(f"{column} {row[column][-1]:.1f}" for column in sets), flush=True)
    if options.write:
        measured = {"machine": machine(), "images": options.images.name, "rows": rows}
        write("soups", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    """Clean accuracy, and the mean over all corruptions, of each kind of weights over the runs."""
    found = []
    for name, row in results["rows"].items():
        others = [values for column, values in row.items() if column != "clean"]
        means = [statistics.mean(of_run) for of_run in zip(*others, strict=True)]
        for column, values in (("clean", row["clean"]), ("corrupted", means)):
            found.append(over_seeds("soups", name, column, values, "%"))
    return found


def weights(runs: Sequence[Path], scratch: Path) -> Iterator[tuple[str, Path]]:
    """Yields checkpoints by name: of each run all mixes and the one that validation chooses, and soups of all runs."""
    for number, run in enumerate(runs):
        head, end = run / "checkpoints" / "head.ckpt", run / "checkpoints" / "last.ckpt"
        yield "mix 0.0", head
        for tenths in range(1, 10):
            mix, shares = scratch / f"{number}_{tenths}.ckpt", [tenths / 10, 1 - tenths / 10]
            yield f"mix {tenths / 10}", resnet_tl.average([end, head], mix, shares=shares).path
        yield "mix 1.0", end
        yield "best mix", resnet_tl.average(end, scratch / f"{number}.ckpt", wise_ft=True).path
    if len(runs) > 1:
        yield "uniform soup", resnet_tl.average(runs, scratch / "uniform.ckpt").path
        yield "greedy soup", resnet_tl.average(runs, scratch / "greedy.ckpt", greedy=True).path


def image_sets(
    images: Path, scratch: Path, kinds: Sequence[str], severities: Sequence[int], side: int
) -> Iterator[tuple[str, Path]]:
    """Yields folders of images `test/<class>/*.png` by column: clean ones, and each kind in each severity."""
    columns = [("clean", "", 0), *((f"{kind} {severity}", kind, severity) for kind in kinds for severity in severities)]
    files = [path for path in sorted(images.glob("*/*")) if cv2.haveImageReader(str(path))]
    for column, kind, severity in columns:
        root = scratch / column.replace(" ", "_")
        for number, path in enumerate(files):
            pixels = middle(np.asarray(cv2.imread(str(path)))[..., ::-1], side)
            changed = corrupted(pixels, kind, severity, seed=number) if kind else pixels
            data = cv2.imencode(".png", as_bytes(changed)[..., ::-1])[1]
            copy = root / "test" / path.parent.name / f"{path.stem}.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data.tobytes())
        yield column, root


def middle(image: NDArray[np.uint8], side: int) -> Pixels:
    """Returns the middle `side` x `side` of an image whose shorter side is resized to 8/7 of it, as 256 is of 224."""
    scale = round(side * 8 / 7) / min(image.shape[:2])
    size = [max(side, round(length * scale)) for length in image.shape[1::-1]]
    resized = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    top, left = ((length - side) // 2 for length in resized.shape[:2])
    return resized[top : top + side, left : left + side].astype(np.float32) / 255


def corrupted(pixels: Pixels, kind: str, severity: int, seed: int) -> Pixels:
    """Returns an image with one of `KINDS`, of severity 1...5."""
    change, constants = KINDS[kind]
    return np.clip(change(pixels, constants[severity - 1], np.random.default_rng(seed)), 0, 1).astype(np.float32)


def as_bytes(pixels: Pixels) -> NDArray[np.uint8]:
    return (pixels * 255).astype(np.uint8)


def gaussian_noise(pixels: Pixels, scale: float, rng: np.random.Generator) -> Any:
    return pixels + rng.normal(scale=scale, size=pixels.shape)


def shot_noise(pixels: Pixels, photons: float, rng: np.random.Generator) -> Any:
    return rng.poisson(pixels * photons) / photons


def impulse_noise(pixels: Pixels, share: float, rng: np.random.Generator) -> Any:
    hit, white = rng.random(pixels.shape) < share, rng.random(pixels.shape) < 0.5
    return np.where(hit, white, pixels)


def defocus_blur(pixels: Pixels, disk: tuple[int, float], rng: np.random.Generator) -> Any:
    radius, alias = disk
    reach, size = (8, 3) if radius <= 8 else (radius, 5)
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    kernel = (x**2 + y**2 <= radius**2).astype(np.float32)
    return cv2.filter2D(pixels, -1, cv2.GaussianBlur(kernel / kernel.sum(), (size, size), sigmaX=alias))


def brightness(pixels: Pixels, added: float, rng: np.random.Generator) -> Any:
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    hsv[..., 2] = np.clip(hsv[..., 2] + added, 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def contrast(pixels: Pixels, factor: float, rng: np.random.Generator) -> Any:
    means = pixels.mean((0, 1), keepdims=True)
    return (pixels - means) * factor + means


def pixelate(pixels: Pixels, factor: float, rng: np.random.Generator) -> Any:
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (int(width * factor), int(height * factor)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def jpeg(pixels: Pixels, quality: int, rng: np.random.Generator) -> Any:
    data = cv2.imencode(".jpg", as_bytes(pixels)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] / 255


KINDS: dict[str, tuple[Callable[[Pixels, Any, np.random.Generator], Any], tuple[Any, ...]]] = {
    "gaussian_noise": (gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": (shot_noise, (60, 25, 12, 5, 3)),
    "impulse_noise": (impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "defocus_blur": (defocus_blur, ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))),
    "brightness": (brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": (contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "pixelate": (pixelate, (0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg": (jpeg, (25, 18, 15, 10, 7)),
}
"""What changes an image, and its constant for each severity."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks soups")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--images", required=True, type=Path, help="folder of <class>/*.jpg")
    parser.add_argument("--side", type=int, default=224, help="of the images, in pixels")
    parser.add_argument("--severities", type=int, nargs="+", choices=range(1, 6), default=[1, 3, 5])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/soups.json")
    return parser
