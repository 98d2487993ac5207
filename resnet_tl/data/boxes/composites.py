"""Training images composed of several: mosaics, and objects pasted from another image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resnet_tl.data.boxes import scenes
from resnet_tl.data.boxes.scenes import MIN_VISIBLE_SHARE, Scene
from resnet_tl.data.boxes.transforms import LargeScaleJitter, SceneSampler
from resnet_tl.data.images.bit_depth import to_common_depth
from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.resize import resized_size
from resnet_tl.data.listings.objects import NO_OBJECTS, Objects
from resnet_tl.structures import masks
from resnet_tl.structures.masks import Mask

GREY = 114
"""The grey (of 255) between the images of a mosaic, as in YOLO."""


class MosaicAndPaste:
    """Makes mosaics of four (arXiv:2004.10934, section 3.3) of some images, and pastes objects of another image into
    some (arXiv:2012.07177). `jitter` transforms every image involved; colours are changed at the end.

    Args:
        mosaic, copy_paste: shares of the images, 0...1.
    """

    def __init__(self, jitter: LargeScaleJitter, mosaic: float, copy_paste: float) -> None:
        self.jitter, self.mosaic, self.copy_paste = jitter, mosaic, copy_paste

    def __call__(self, scene: Scene, seed: Seed, sample: SceneSampler) -> Scene:
        rng = np.random.default_rng(seed)
        if rng.random() < self.mosaic:
            scene = mosaic_of_four([scene, *(sample(rng) for _ in range(3))], self.jitter, rng)
        else:
            scene = self.jitter(scene, rng)
        if rng.random() < self.copy_paste:
            scene = paste_objects(scene, self.jitter(sample(rng), rng), rng)
        return scene._replace(image=self.jitter.colours(scene.image, rng))


def mosaic_of_four(four: Sequence[Scene], jitter: LargeScaleJitter, rng: np.random.Generator) -> Scene:
    """Returns a canvas of the first image's usual size, divided at a random point near its middle, with a crop of one
    image in each quarter, at 0.5 to 1 times its usual size."""
    height, width = resized_size(*four[0].size, jitter.resize.short, jitter.resize.longest)
    y, x = (max(1, min(side - 1, round(side * rng.uniform(0.3, 0.7)))) for side in (height, width))
    rooms = [(y, x), (y, width - x), (height - y, x), (height - y, width - x)]
    crops = [
        jitter(scene, rng, room=room, factor=rng.uniform(0.5, 1.0)) for scene, room in zip(four, rooms, strict=True)
    ]
    images = to_common_depth([crop.image for crop in crops])
    grey = GREY if images[0].dtype == np.uint8 else GREY * 257
    canvas = np.full((height, width, images[0].shape[2]), grey, images[0].dtype)
    objects = NO_OBJECTS
    for number, (crop, image) in enumerate(zip(crops, images, strict=True)):
        h, w = crop.size  # each touches the point where the quarters meet
        top, left = (y if number >= 2 else y - h), (x if number % 2 else x - w)
        canvas[top : top + h, left : left + w] = image
        objects = objects.join(scenes.place_objects(crop, (top, left), (height, width)))
    return Scene(canvas, objects)


def paste_objects(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene:
    """Pastes half of the objects of `other`, at least one, over the scene at the same place; crowds are not pasted.
    What they cover is removed from the masks below, whose boxes shrink."""
    height, width = (min(pair) for pair in zip(scene.size, other.size, strict=True))
    other = scenes.crop_scene(other, 0, 0, height, width)
    single = np.flatnonzero(~other.objects.crowd)
    if not len(single):
        return scene
    chosen = np.zeros(len(other.objects.labels), bool)
    chosen[single[rng.random(len(single)) < 0.5]] = True
    chosen[rng.choice(single)] = True
    new = scenes.place_objects(other._replace(objects=other.objects.where(chosen)), (0, 0), scene.size)
    cover = np.zeros(scene.size, bool)
    for mask in new.masks or []:
        cover |= masks.to_pixels(mask, *scene.size)
    image, source = to_common_depth([scene.image.copy(), other.image])
    image[:height, :width][cover[:height, :width]] = source[cover[:height, :width]]
    return Scene(image, remove_covered(scene.objects, cover).join(new))


def remove_covered(objects: Objects, cover: np.ndarray) -> Objects:
    """Removes what `cover` `[H, W]` hides, and objects of which less than `MIN_VISIBLE_SHARE` remains."""
    size = (cover.shape[0], cover.shape[1])
    boxes, area, shapes = objects.boxes.copy(), objects.area.copy(), list(objects.masks or [])
    share = np.ones(len(shapes))
    for index, mask in enumerate(shapes):
        x1, y1 = np.floor(boxes[index, :2]).astype(int)
        x2, y2 = np.ceil(boxes[index, 2:]).astype(int)
        above = cover[y1:y2, x1:x2]
        if not above.any():
            continue
        pixels = masks.to_pixels(masks.crop(mask, size, (y1, x1, y2 - y1, x2 - x1)), y2 - y1, x2 - x1)
        visible = pixels & ~above
        share[index] = visible.sum() / max(1, pixels.sum())
        if 0 < share[index] < 1:
            shapes[index], bounds = _mask_of(visible, (y1, x1), size)
            boxes[index] = [*np.maximum(boxes[index, :2], bounds[:2]), *np.minimum(boxes[index, 2:], bounds[2:])]
    return objects._replace(boxes=boxes, area=area * share.astype(np.float32), masks=shapes).where(
        share >= MIN_VISIBLE_SHARE
    )


def _mask_of(pixels: np.ndarray, at: tuple[int, int], canvas: tuple[int, int]) -> tuple[Mask, list[int]]:
    """Returns the mask of these pixels, placed `at` (top, left) of a canvas (h, w), and its box there."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    box = [at[1] + columns[0], at[0] + rows[0], at[1] + columns[-1] + 1, at[0] + rows[-1] + 1]
    return masks.to_run_lengths(pixels, at, canvas), box
