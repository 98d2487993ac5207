"""The presets' steps on a device against albumentations, from the same parameters on the same bytes."""

from __future__ import annotations

from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_tl.data.images.augment import PRESETS
from resnet_tl.data.images.device_colours import KEPT, STEPS, change_colours
from resnet_tl.data.images.drawn_only import DrawnOnly
from resnet_tl.data.images.listed_transforms import apply, compose_of

EXACT = ("RandomBrightnessContrast", "CoarseDropout", "ToGray")
ONE_OFF = ("Affine", "GaussianBlur", "Sharpen", "HueSaturationValue")


def noise(height: int = 56, width: int = 72, seed: int = 0) -> np.ndarray:
    """Every byte at random: the hardest image for roundings, and every border shows."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_batch(*images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def transforms() -> dict[str, A.BasicTransform]:
    """Those of all presets, always applied."""
    _, anything, rgb = PRESETS["strong"]
    found: dict[str, A.BasicTransform] = {}
    for step in (*anything(), *rgb()):
        for transform in getattr(step, "transforms", [step]):
            transform.p = 1.0
            found[type(transform).__name__] = transform
    return found


def test_every_step_of_the_presets_has_its_equal_here() -> None:
    for _, anything, rgb in PRESETS.values():
        for step in (*anything(), *rgb()):
            for transform in getattr(step, "transforms", [step]):
                assert type(transform).__name__ in STEPS.keys() & KEPT.keys()
    assert {*EXACT, *ONE_OFF, "RandomErasing"} == STEPS.keys()


@pytest.mark.parametrize(("name", "most"), [*((name, 0) for name in EXACT), *((name, 1) for name in ONE_OFF)])
def test_equal_bytes_become_equal_bytes(name: str, most: int) -> None:
    images = [noise(seed=seed) for seed in range(12)]
    pipeline = compose_of([transforms()[name]])
    there = [apply(pipeline, np.random.default_rng(seed), image=image)["image"] for seed, image in enumerate(images)]
    draw = DrawnOnly(pipeline)
    drawn = [draw(np.random.default_rng(seed), image.shape) for seed, image in enumerate(images)]
    here = change_colours(as_batch(*images), drawn)
    difference = (here.int() - as_batch(*there).int()).abs()
    assert difference.max() <= most
    assert (difference > 0).float().mean() < 0.15
    assert (here != as_batch(*images)).float().mean() > 0.01


def test_images_keep_what_was_not_drawn_for_them() -> None:
    images = as_batch(noise(), noise(seed=1), noise(seed=2))
    changed = change_colours(images, [{}, {"ToGray": {}}, {}])
    assert torch.equal(changed[::2], images[::2])
    assert torch.equal(changed[1, 0], changed[1, 2])


def test_grey_pixels_keep_their_hue_and_the_circle_closes() -> None:
    greys = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], (256, 8, 3))
    turned: dict[str, Any] = {"hue_shift": 179.9, "sat_shift": 50.0}
    assert torch.equal(change_colours(as_batch(greys), [{"HueSaturationValue": turned}]), as_batch(greys))
    red = np.full((8, 8, 3), (200, 0, 0), np.uint8)
    back: dict[str, Any] = {"hue_shift": -0.3, "sat_shift": 0.0}
    [changed] = change_colours(as_batch(red), [{"HueSaturationValue": back}])
    hue = cv2.cvtColor(changed.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2HSV)[0, 0, 0]
    assert hue == 179


class Operators(TorchDispatchMode):
    """Records the names of all that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(operator.overloadpacket.__name__)
        return operator(*args, **(kwargs or {}))


def test_no_step_multiplies_matrices_or_convolves_as_that_may_be_in_tf32() -> None:
    images = [noise(seed=seed) for seed in range(2)]
    with Operators() as ran:
        for transform in transforms().values():
            draw = DrawnOnly(compose_of([transform]))
            change_colours(as_batch(*images), [draw(np.random.default_rng(0), image.shape) for image in images])
    assert "grid_sampler_2d" in ran.names
    assert not ran.names & {"mm", "bmm", "addmm", "baddbmm", "matmul", "convolution"}
