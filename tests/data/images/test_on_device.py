"""What rules out work on the device."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import lightning as L
import pytest
import torch

from resnet_tl.data.detection import CocoDetection
from resnet_tl.data.images import device_decode
from resnet_tl.data.images.on_device import check_accelerator, work_on_device
from resnet_tl.errors import RecipeError, RunError
from resnet_tl.recipe.shipped import shipped_root
from tests.data.epochs import folder

DECODE: dict[str, Any] = {"decode": "gpu", "augment_on": "device"}
LISTED = [{"class_path": "HorizontalFlip"}]


def test_what_is_left_to_the_device() -> None:
    assert work_on_device("cpu", "cpu", 3) == "nothing"
    assert work_on_device("cpu", "device", 5) == "transforms"
    assert work_on_device("gpu", "device", 1) == "decoding and transforms"
    check_accelerator("transforms", "cpu")
    check_accelerator("decoding and transforms", "cuda")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decode": "gpu"}, r"data\.decode: gpu leaves the pixels on the GPU to be cropped; add data\.augment_on: dev"),
        ({**DECODE, "channels": 4}, r"data\.decode: gpu decodes images of 1 or 3 channels, but data\.channels is 4"),
        ({**DECODE, "on_error": "skip"}, r"data\.decode: gpu cannot be used with data\.on_error: skip, which replaces"),
        ({**DECODE, "cache": "resized"}, r"data\.decode: gpu cannot be used with data\.cache: resized, whose images"),
        ({**DECODE, "reduced_decoding": True}, r"data\.decode: gpu cannot be used with data\.reduced_decoding"),
        (
            {"augment_on": "device", "train_transforms": LISTED},
            r"data\.augment_on: device cannot be used with data\.train_transforms, which only workers apply; remove",
        ),
        (
            {"augment_on": "device", "augment": "trivial"},
            r"data\.augment_on: device cannot be used with data\.augment: trivial, whose operations only workers apply",
        ),
    ],
)
def test_settings_that_need_the_workers(class_photos: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        folder(class_photos, **options)


@pytest.mark.parametrize("setting", ["mosaic", "copy_paste"])
def test_composed_images_need_the_workers(setting: str) -> None:
    options: dict[str, Any] = {setting: 0.5, "augment_on": "device"}
    with pytest.raises(RecipeError, match=rf"augment_on: device cannot be used with data\.{setting}, which composes"):
        CocoDetection(str(shipped_root() / "data" / "samples" / "detection"), **options)


def test_decoding_on_the_gpu_needs_one(class_photos: Path) -> None:
    data = folder(class_photos, **DECODE)
    data.trainer = L.Trainer(accelerator="cpu", logger=False, barebones=True)
    data.setup("validate")
    with pytest.raises(RecipeError, match=r"decode: gpu needs an NVIDIA GPU, but this run is on cpu; set it to cpu"):
        data.setup("fit")


def test_a_gpu_that_decodes_nothing_is_missed_at_the_start(class_photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_nvjpeg(*arguments: object) -> list[torch.Tensor]:
        raise RuntimeError("decode_jpegs_cuda: torchvision not compiled with nvJPEG support\nframe #0")

    monkeypatch.setattr(device_decode, "_decode", without_nvjpeg)
    data = folder(class_photos, **DECODE)
    data.trainer = cast(L.Trainer, SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cuda", 0))))
    message = r"^data\.decode is gpu, but cuda:0 cannot decode JPEGs: decode_jpegs_cuda: [^\n]* support; set it to cpu$"
    with pytest.raises(RunError, match=message):
        data.setup("fit")
