"""Parameters drawn without an image."""

from __future__ import annotations

import numpy as np

from resnet_tl.data.images.augment import PRESETS
from resnet_tl.data.images.device_colours import STEPS
from resnet_tl.data.images.drawn_only import DrawnOnly
from resnet_tl.data.images.listed_transforms import apply, compose_of


def test_draws_are_those_of_an_image() -> None:
    """Also by the generator's state afterwards, which decides what follows."""
    _, anything, rgb = PRESETS["strong"]
    pipeline = compose_of([*anything(), *rgb()])
    draw = DrawnOnly(pipeline)
    image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    seen = set()
    for seed in range(40):
        one, other = np.random.default_rng(seed), np.random.default_rng(seed)
        after = apply(pipeline, one, image=image.copy())["image"]
        drawn = draw(other, image.shape)
        assert one.bit_generator.state == other.bit_generator.state
        assert bool(drawn) == (after != image).any()
        seen |= drawn.keys()
    assert seen == STEPS.keys() - {"RandomErasing"}
