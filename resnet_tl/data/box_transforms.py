"""What happens to a picture and its objects before they join a batch.

Every draw comes from one generator, seeded for one picture in one epoch.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from resnet_tl.data import scenes
from resnet_tl.data.crops import Seed
from resnet_tl.data.pairs import shown_size
from resnet_tl.data.resize import Interpolation
from resnet_tl.data.scenes import Scene
from resnet_tl.data.transforms import Colours, Strength


class SceneTransform(Protocol):
    def __call__(self, scene: Scene, seed: Seed) -> Scene: ...


class Fit:
    """The whole picture, its short side resized to `short` pixels, its long side to `longest` at most.

    Args:
        fast: resize as training does, see `resize_fast`.
    """

    def __init__(self, short: int, longest: int | None, interpolation: Interpolation, *, fast: bool = False) -> None:
        self.short, self.longest, self.interpolation, self.fast = short, longest, interpolation, fast

    def __call__(self, scene: Scene, seed: Seed = ()) -> Scene:
        return self.scaled(scene, 1.0)

    def scaled(self, scene: Scene, factor: float) -> Scene:
        height, width = shown_size(*scene.size, self.short, self.longest)
        size = max(1, round(height * factor)), max(1, round(width * factor))
        return scenes.resized(scene, size, self.interpolation, fast=self.fast)


class Jitter:
    """Large-scale jitter (arXiv:2012.07177, section 3): resized to `scale` times its ordinary size, what exceeds that
    size cut off at a random place; mirrored every other time; its colours changed.

    Args:
        fit: gives the ordinary size.
        scale: smallest and largest factor, drawn evenly in its logarithm.
        strength: of the changes of colour, as in classification; `none` does not mirror either.
    """

    def __init__(self, fit: Fit, scale: tuple[float, float], strength: Strength) -> None:
        self.fit, self.scale, self.strength = fit, scale, strength
        self.colours = Colours(strength)

    def __call__(self, scene: Scene, seed: Seed) -> Scene:
        rng = np.random.default_rng(seed)
        scene = self.moved(scene, rng)
        return scene._replace(picture=self.colours(scene.picture, rng))

    def moved(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """All but the colours."""
        ordinary = shown_size(*scene.size, self.fit.short, self.fit.longest)
        scene = self.fit.scaled(scene, float(np.exp(rng.uniform(*np.log(self.scale)))))
        height, width = (min(pair) for pair in zip(scene.size, ordinary, strict=True))
        top, left = (int(rng.integers(have - want + 1)) for have, want in zip(scene.size, (height, width), strict=True))
        scene = scenes.cut(scene, top, left, height, width)
        return scenes.mirrored(scene) if self.strength != "none" and rng.random() < 0.5 else scene
