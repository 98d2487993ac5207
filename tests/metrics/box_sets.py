"""Synthetic detections of every kind: right, misplaced, of the wrong class, double, on nothing; objects without any."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnet_tl.structures.evaluation import BoxEvaluation

SIDE = 320


def box_set(images: int = 500, classes: int = 4, crowds: float = 0.0, seed: int = 0) -> BoxEvaluation:
    draw = np.random.default_rng(seed)
    objects: list[tuple[Any, ...]] = []
    found: list[tuple[Any, ...]] = []
    for image in range(images):
        for _ in range(int(draw.integers(0, 9)) if image % 7 else 0):
            side, corner = draw.uniform(8, 140, 2), draw.uniform(0, 180, 2)
            box, label = np.concatenate([corner, corner + side]), int(draw.integers(classes))
            objects.append((image, label, draw.random() < crowds, side.prod() * draw.uniform(0.5, 1), *box))
            for _ in range(int(draw.choice([0, 1, 1, 1, 2]))):
                moved = box + draw.normal(0, draw.choice([2, 20]), 4)
                guess = label if draw.random() < 0.75 else int(draw.integers(classes))
                found.append((image, guess, draw.random() ** 0.5, *moved))
        for _ in range(int(draw.integers(0, 3))):
            side, corner = draw.uniform(8, 140, 2), draw.uniform(0, 180, 2)
            found.append((image, int(draw.integers(classes)), draw.random(), *corner, *(corner + side)))
    target, guess = np.array(objects), np.array(found)
    guess[:, 5:] = np.maximum(guess[:, 5:], guess[:, 3:5] + 1)
    guess = guess[np.lexsort([-guess[:, 2], guess[:, 0]])]
    return BoxEvaluation(
        classes=[f"class {k}" for k in range(classes)],
        root="nowhere",
        split="val",
        step=1,
        absent=[],
        keys=np.array([f"{image:03}.jpg" for image in range(images)]),
        losses=np.zeros(images, np.float32),
        sizes=np.full((images, 2), SIDE),
        target_image=target[:, 0].astype(np.int64),
        target_labels=target[:, 1].astype(np.int64),
        target_crowd=target[:, 2] > 0,
        target_area=target[:, 3],
        target_boxes=target[:, 4:],
        target_masks=np.zeros(0, np.uint8),
        target_mask_bytes=np.zeros(len(target), np.int64),
        image=guess[:, 0].astype(np.int64),
        labels=guess[:, 1].astype(np.int64),
        scores=guess[:, 2],
        boxes=guess[:, 3:],
        masks=np.zeros(0, np.uint8),
        mask_bytes=np.zeros(len(guess), np.int64),
    )
