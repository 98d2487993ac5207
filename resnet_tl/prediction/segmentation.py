"""Files or arrays in, masks out: `predict` of networks that segment. No Lightning."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image

from resnet_tl.data.images.class_masks import ClassMask
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.sources.mask_files import palette
from resnet_tl.errors import RunError
from resnet_tl.models.inference import Inference, segment
from resnet_tl.models.network import Network
from resnet_tl.prediction.classification import Source, device_called, free_name, images_of, name_of, resized
from resnet_tl.structures.records import Preprocessing


@dataclass(frozen=True)
class MaskPrediction:
    """index: its place among the images predicted. path: of its file; None for an array. image: `[H, W, C]`.
    mask: `[H, W]` class indices, at the image's own size."""

    index: int
    path: str | None
    image: ImageArray
    mask: ClassMask


class MaskPredictor:
    """A trained network that segments, one image at a time, resized as validation resized it and back.

    Attributes: `network`, `classes` (K names), `colours` (`[K, 3]` RGB, the training masks' own, else Pascal VOC's),
    `preprocessing`, `inference`.
    """

    def __init__(
        self,
        network: Network,
        classes: Sequence[str],
        inference: Inference | None = None,
        *,
        colours: Sequence[Sequence[int]] | None = None,
        device: str = "cpu",
    ) -> None:
        self.network = network.to(device_called(device)).eval()
        self.classes, self.inference = list(classes), inference or Inference()
        self.colours = palette(len(classes)) if colours is None else np.array(colours, np.uint8)

    @property
    def preprocessing(self) -> Preprocessing:
        return self.network.preprocessing

    def predict(
        self, inputs: Source | Iterable[Source], on_error: Literal["error", "skip"] = "error"
    ) -> list[MaskPrediction]:
        """Predict files, folders, zips, globs or arrays `[H, W, C]`, in the order given.

        on_error: what an image that cannot be used does: raise its DataError, or be left out with a warning.
        """
        return list(self.stream(inputs, on_error))

    def stream(
        self, inputs: Source | Iterable[Source], on_error: Literal["error", "skip"] = "error"
    ) -> Iterator[MaskPrediction]:
        """`predict`, one prediction after another."""
        for index, path, image in images_of(inputs, len(self.network.mean), on_error):
            yield MaskPrediction(index, path, image, self.logits(image).argmax(0).to(torch.uint8).cpu().numpy())

    @torch.inference_mode()
    def logits(self, image: ImageArray) -> torch.Tensor:
        """`[K, H, W]` fp32 of an image `[H, W, C]`, at its own size."""
        size = (image.shape[0], image.shape[1])
        images = resized(image, self.network)
        logits = segment(self.network, images, None, self.inference)
        if images.shape[-2:] != size:
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits[0]


def write_masks(
    predictions: Iterable[MaskPrediction], classes: Sequence[str], colours: npt.NDArray[np.uint8], folder: Path
) -> int:
    """`masks/<name>.png` in these colours `[K, 3]`, `overlays/<name>.jpg` over the image, and `areas.csv` with every
    class's share of each image. Images of the same name are numbered. The folder must be new.

    Gives the number of images. Raises RunError: the folder exists, or cannot be written.
    """
    count = 0
    try:
        for part in ("masks", "overlays"):
            (folder / part).mkdir(parents=True)
        with open(folder / "areas.csv", "x", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["path", "mask", *classes])
            names: set[str] = set()
            for found in predictions:
                count += 1
                name = free_name(found, names)
                save_mask(found.mask, colours, folder / "masks" / f"{name}.png")
                overlay(found.image, found.mask, colours).save(folder / "overlays" / f"{name}.jpg", quality=92)
                shares = np.bincount(found.mask.ravel(), minlength=len(classes)) / found.mask.size
                table.writerow([name_of(found), f"masks/{name}.png", *(f"{share:.6f}" for share in shares)])
    except FileExistsError:
        raise RunError(f"{folder}: holds masks already, and nothing is overwritten; name another folder") from None
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror}") from None
    return count


def save_mask(mask: ClassMask, colours: npt.NDArray[np.uint8], path: Path) -> None:
    """Class indices as a palette PNG, which viewers show in colour."""
    image = Image.fromarray(mask)
    image.putpalette(colours.tobytes())
    image.save(path)


def overlay(image: ImageArray, mask: ClassMask, colours: npt.NDArray[np.uint8], share: float = 0.5) -> Image.Image:
    """The image under its mask's colours; many-channelled ones by their first channel, 16 bits stretched to 8."""
    shown = image if image.dtype == np.uint8 else image / max(int(image.max()), 1) * 255
    shown = shown.reshape(*mask.shape, -1)
    rgb = shown if shown.shape[2] == 3 else np.repeat(shown[..., :1], 3, axis=2)
    return Image.fromarray((rgb * (1 - share) + colours[mask] * share).astype(np.uint8))
