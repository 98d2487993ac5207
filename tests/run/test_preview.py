"""The contact sheet shows the pixels that training sees."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.detection import CocoDetection
from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.prediction.contact_sheet import GAP, LINE, Tile
from resnet_tl.prediction.drawing import colour_of
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.run import preview as module
from resnet_tl.run.preview import preview

SAMPLES = shipped_root() / "data" / "samples"
SIZE = 32


def tile(sheet: Image.Image, row: int, column: int, across: int) -> np.ndarray:
    """The pixels `[32, 32, 3]` of an enlarged square tile."""
    side = (sheet.width - GAP) // across - GAP
    left, top = GAP + column * (side + GAP), GAP + row * (side + LINE + GAP)
    middles = ((np.arange(SIZE) + 0.5) * side / SIZE).astype(int)
    return np.asarray(sheet)[top + middles[:, None], left + middles]


def test_tiles_are_the_first_batch_of_each_epoch() -> None:
    data = ImageFolder(str(SAMPLES / "classification"), image_size=SIZE, augment="medium", batch_size=4, num_workers=0)
    sheet = preview(data, 2, 2)
    loader = data.train_dataloader()
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        batches = list(loader)
        indices = [index for batch in batches for index in batch.indices.tolist()]
        images = [image for batch in batches for image in batch.images.permute(0, 2, 3, 1).numpy()]
        if epoch == 0:
            first = indices[:2]
        for row, index in enumerate(first):
            assert (tile(sheet, 0, 2 * row + epoch, 4) == images[indices.index(index)]).all()


def test_masks_are_drawn_over_their_images() -> None:
    data = MaskFolder(str(SAMPLES / "segmentation"), image_size=SIZE, scale=(1.0, 1.0), num_workers=0)
    sheet = preview(data, 4, 1)
    batch = next(iter(data.train_dataloader()))
    colours = np.full((256, 3), 255, np.uint8)
    colours[: len(data.colours)] = data.colours
    for column in range(4):
        image, mask = batch.images[column].permute(1, 2, 0).numpy(), batch.targets[column].numpy()
        assert (tile(sheet, 0, column, 4) == (image * 0.5 + colours[mask] * 0.5).astype(np.uint8)).all()
    legend = np.asarray(sheet)[-LINE - GAP :].reshape(-1, 3)
    assert {tuple(colour) for colour in data.colours.tolist()} <= {tuple(pixel) for pixel in legend.tolist()}


def test_small_images_with_masks_fill_their_tiles_without_their_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles: list[Tile] = []
    monkeypatch.setattr(module, "sheet", lambda found, *_: tiles.extend(found))
    data = MaskFolder(
        str(SAMPLES / "segmentation"), image_size=(128, 512), scale=(0.5, 0.5), batch_size=4, num_workers=0
    )
    preview(data, 2, 1)
    assert [tile.image.size for tile in tiles] == [(48, 48)] * 2
    assert all(tile.caption.endswith(".png · 48 x 48 of 512 x 128") for tile in tiles)


def test_boxes_are_drawn_in_the_colours_of_their_classes() -> None:
    data = CocoDetection(str(SAMPLES / "detection"), image_size=96, mosaic=0.5, copy_paste=0.5, num_workers=0)
    sheet = preview(data, 3, 1)
    assert sheet.width == GAP + 3 * ((1600 - GAP) // 3)
    pixels = np.asarray(sheet).reshape(-1, 3).astype(int)
    shown = [label for index in range(5) if (label := (abs(pixels - colour_of(index)).sum(1) < 30).sum()) > 100]
    assert len(shown) > 2
