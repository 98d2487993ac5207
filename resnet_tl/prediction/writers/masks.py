"""Masks as PNGs in the classes' colours, overlays, and each class's share of the pixels."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet_tl.csv_text import text_cell
from resnet_tl.data.images.class_masks import ClassMask
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.prediction.drawing import to_rgb
from resnet_tl.prediction.segmentation import MaskPrediction
from resnet_tl.prediction.writers.output import Add, FileNames, image_name, new_file, new_folder


@contextmanager
def mask_folder(
    path: Path, classes: Sequence[str], colours: npt.NDArray[np.uint8], *, safe: bool = True
) -> Iterator[Add[MaskPrediction]]:
    """A folder with `masks/<name>.png`, `overlays/<name>.jpg` and `areas.csv`: each class's share of each image.

    Args:
        colours: `[K, 3]` RGB.
        safe: see `resnet_tl.csv_text.text_cell`.
    """
    names = FileNames()
    with new_folder(path) as folder:
        for part in ("masks", "overlays"):
            (folder / part).mkdir()
        with new_file(folder / "areas.csv") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["path", "mask", *(text_cell(name, safe) for name in classes)])

            def add(prediction: MaskPrediction) -> None:
                name, mask = names(prediction), prediction.mask
                save_mask(mask, colours, folder / "masks" / f"{name}.png")
                overlaid(prediction, colours).save(folder / "overlays" / f"{name}.jpg", quality=92)
                shares = np.bincount(mask.ravel(), minlength=len(classes)) / mask.size
                path = text_cell(image_name(prediction), safe)
                table.writerow([path, f"masks/{name}.png", *(f"{share:.6f}" for share in shares)])

            yield add


def save_mask(mask: ClassMask, colours: npt.NDArray[np.uint8], file: Path | BinaryIO) -> None:
    """Class indices `[H, W]` as a palette PNG, which viewers show in colour."""
    image = Image.fromarray(mask)
    image.putpalette(colours.tobytes())
    image.save(file, "PNG")


def overlaid(prediction: MaskPrediction, colours: npt.NDArray[np.uint8]) -> Image.Image:
    """The predicted image under its mask's colours."""
    return overlay(prediction.image, prediction.mask, colours)


def overlay(image: ImageArray, mask: ClassMask, colours: npt.NDArray[np.uint8], opacity: float = 0.5) -> Image.Image:
    """The image `[H, W, C]` under its mask's colours."""
    return Image.fromarray((to_rgb(image) * (1 - opacity) + colours[mask] * opacity).astype(np.uint8))
