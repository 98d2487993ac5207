"""Masks of images, at the images' own size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnet_tl.data.images.decode import decode
from resnet_tl.data.images.resize import resize
from resnet_tl.data.sources.class_list import class_colours
from resnet_tl.models.inference import Inference, segment
from resnet_tl.models.network import Network
from resnet_tl.prediction.segmentation import MaskPredictor

CLASSES = ["sky", "road", "car"]
Build = Callable[..., Network]


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Blocks of 8 pixels, so that masks are not one class."""
    blocks = np.random.default_rng(height).integers(0, 256, (height // 8 + 1, width // 8 + 1, channels), np.uint8)
    return np.ascontiguousarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8))[:height, :width])


@pytest.mark.parametrize("size", [(32, 32), (80, 50), (21, 64)])
def test_a_mask_is_the_networks_at_the_images_own_size(network: Build, size: tuple[int, int]) -> None:
    """By hand: the short side to 32 pixels, logits back, the best class."""
    image, made = noise(*size), network("segmentation").eval()
    factor = 32 / min(size)
    small = resize(image, round(size[0] * factor), round(size[1] * factor))
    with torch.inference_mode():
        logits = made(torch.from_numpy(small).permute(2, 0, 1)[None]).main
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    predictor = MaskPredictor(made, CLASSES)
    (prediction,) = predictor.predict(image)
    assert prediction.mask.dtype == np.uint8
    assert prediction.mask.shape == size
    assert (prediction.mask == logits[0].argmax(0).numpy()).all()
    assert len(np.unique(prediction.mask)) > 1, "a mask of one class would prove nothing"
    assert prediction.image is image
    torch.testing.assert_close(predictor.logits(image), logits[0], rtol=0, atol=1e-5)


def test_files_and_their_arrays_give_the_same_mask(photos: Path, network: Build) -> None:
    predictor = MaskPredictor(network("segmentation"), CLASSES)
    files = sorted(str(path) for path in (photos / "bee").iterdir())
    from_files = predictor.predict(photos / "bee")
    assert [each.path for each in from_files] == files
    for file, prediction in zip(files, from_files, strict=True):
        (other,) = predictor.predict(decode(file))
        assert (prediction.mask == other.mask).all()
        assert other.path is None
        assert (prediction.image == decode(file)).all()


def test_inference_is_the_runs_own(network: Build) -> None:
    image, inference = noise(96, 128), Inference(tile=32, overlap=0, flip=True)
    made = network("segmentation", size=0)
    whole, tiled = MaskPredictor(made, CLASSES), MaskPredictor(made, CLASSES, inference)
    with torch.inference_mode():
        expected = segment(made, torch.from_numpy(image).permute(2, 0, 1)[None], None, inference)[0].argmax(0).numpy()
    assert (tiled.predict(image)[0].mask == expected).all()
    assert (whole.predict(image)[0].mask != expected).any()


@pytest.mark.parametrize("channels", [1, 5])
def test_images_of_any_channels(network: Build, channels: int, tmp_path: Path) -> None:
    predictor = MaskPredictor(network("segmentation", channels=channels), CLASSES)
    image = noise(40, 50, channels)
    assert predictor.predict(image)[0].mask.shape == (40, 50)
    if channels == 1:
        cv2.imwrite(str(tmp_path / "grey.png"), image)
        assert (predictor.predict(tmp_path / "grey.png")[0].mask == predictor.predict(image)[0].mask).all()


def test_colours_are_given_or_those_of_the_classes(network: Build) -> None:
    made = network("segmentation")
    assert MaskPredictor(made, CLASSES).colours.tolist() == class_colours(CLASSES).tolist()
    colours: Any = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert MaskPredictor(made, CLASSES, colours=colours).colours.tolist() == colours


def test_the_listed_transforms_of_validation_are_used(network: Build) -> None:
    image, made = noise(48, 40), network("segmentation")
    steps = [
        {"class_path": "Resize", "init_args": {"height": 64, "width": 32}},
        {"class_path": "InvertImg", "init_args": {"p": 1.0}},
    ]
    (found,) = MaskPredictor(made, CLASSES, eval_transforms=steps).predict(image)
    seen = 255 - cv2.resize(image, (32, 64))
    (expected,) = MaskPredictor(network("segmentation", size=0), CLASSES).predict(seen)
    resized = cv2.resize(expected.mask, (40, 48), interpolation=cv2.INTER_NEAREST)
    assert found.mask.shape == (48, 40)
    assert (found.mask == resized).mean() > 0.9


@pytest.mark.parametrize(
    "step",
    [
        {"class_path": "CenterCrop", "init_args": {"height": 32, "width": 32}},
        {"class_path": "OneOf", "init_args": {"transforms": [{"class_path": "ToGray"}, {"class_path": "PadIfNeeded"}]}},
    ],
)
def test_transforms_that_show_a_part_of_the_image_are_not(network: Build, step: dict) -> None:
    image = noise(48, 40)
    with pytest.warns(
        UserWarning, match=r"^masks are of whole images, .* with (CenterCrop|PadIfNeeded), are not used$"
    ):
        predictor = MaskPredictor(network("segmentation"), CLASSES, eval_transforms=[step])
    (found,), (plain,) = predictor.predict(image), MaskPredictor(network("segmentation"), CLASSES).predict(image)
    assert (found.mask == plain.mask).all()
