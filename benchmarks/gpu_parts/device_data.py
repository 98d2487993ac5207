"""What a GPU does to training images must change nothing, or little: copying the next batch ahead, in deterministic
fits from JPEG files, and augmenting and decoding, in one batch of which the workers make the same.

The draws are the same, and pixels nearly so: resizing and colours are rounded elsewhere, and nvJPEG decodes in its own
way. The fits are short, of the CIFAR form of ResNet, whose layers all have deterministic algorithms.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.figures import Figure
from benchmarks.gpu_parts.exactness import LARGEST, SIDE, differing
from benchmarks.gpu_parts.photographs import recipe, write_images
from benchmarks.gpu_parts.race import TABLE
from benchmarks.gpu_parts.setting import Setting
from resnet_tl import fit
from resnet_tl.checkpoint import read
from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.images.device_decode import check_decoder

MEAN = "mean difference"
WORKERS = "made by workers"


def measure(setting: Setting) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "photos"
        write_images(root, setting.exact_batch * setting.exact_steps)
        expected = images(setting, root, makers(setting)[WORKERS])
        for maker, options in makers(setting).items():
            if maker != WORKERS:
                apart = (images(setting, root, options).int() - expected.int()).abs().float()
                row = f"a batch of images {maker}, against those {WORKERS}"
                yield Figure(TABLE, row, LARGEST, float(apart.max()), "of 255")
                yield Figure(TABLE, row, MEAN, float(apart.mean()), "of 255")
        for maker, options in makers(setting).items():
            runs = [weights(setting, root, options, ahead=ahead) for ahead in (True, False)]
            yield differing(f"fit with prefetch against one without, images {maker}", *runs)


def makers(setting: Setting) -> dict[str, dict[str, Any]]:
    """Returns the options of the data by which the workers, or the device, make the images."""
    device = {"augment_on": "device"}
    decoded = {"decoded and augmented on the GPU": {**device, "decode": "gpu"}} if setting.device.is_gpu else {}
    return {WORKERS: {}, "augmented on the device": device, **decoded}


def images(setting: Setting, root: Path, options: dict[str, Any]) -> Tensor:
    """Returns the first training batch's images `[N, 3, H, W]` uint8, in the CPU's memory."""
    if options.get("decode") == "gpu":
        check_decoder(torch.device(setting.device.kind))  # a run would leave single files to the CPU
    data = ImageFolder(str(root), image_size=setting.side, batch_size=setting.exact_batch, num_workers=0, **options)
    loader = data.train_dataloader()
    loader.dataset.on_device = data.on_device  # which it takes from a Trainer alone
    return next(iter(loader)).to(setting.device.kind).images.cpu()


def weights(setting: Setting, root: Path, options: dict[str, Any], *, ahead: bool) -> dict[str, Tensor]:
    """Returns what two epochs end with. ahead: copy the next batch while the current one is trained on."""
    data = {"image_size": SIDE, "batch_size": setting.exact_batch, "num_workers": setting.workers, **options}
    trainer = {"max_epochs": 2, "deterministic": True, "prefetch": ahead}
    with tempfile.TemporaryDirectory() as run:
        fit(recipe(setting, "resnet20_cifar", root, data, trainer), run=Path(run) / "run")
        return read(Path(run) / "run").state_dict
