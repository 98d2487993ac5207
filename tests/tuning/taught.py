"""Fits with a teacher on few images, on one rank of several or the only one.

As a program, started once a rank with Lightning's environment variables: `taught.py FOLDER CASE...`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import regularised
import torch
from regularised import CIFAR, SAMPLES, Record

from resnet_tl.checkpoint import bundle
from resnet_tl.structures.records import Preprocessing
from resnet_tl.tasks.classification import Classification
from resnet_tl.tensor_file import save_atomically
from resnet_tl.tuning.teacher import Teacher

CASES: dict[str, dict[str, Any]] = {
    "outputs": {},
    "features": {"features": 0.5},
    "maps": {"weight": 0.0, "features": 0.5, "level": "layer3", "teacher_level": "layer2"},
    "unlabelled": {"features": 0.5},
}
"""Settings of the teacher. `unlabelled` also has such images."""
TERMS = {
    "outputs": ["train/teacher"],
    "features": ["train/teacher", "train/teacher_features"],
    "maps": ["train/teacher_features"],
    "unlabelled": ["train/teacher", "train/teacher_features"],
}


def prepare(folder: Path) -> Path:
    """Photographs, ten unlabelled ones in `pool`, and a teacher of their classes, of another size and normalisation."""
    regularised.photos(folder)
    (folder / "pool" / "deeper").mkdir(parents=True)
    for kind in ("cat", "ship", "dog"):
        for image in sorted((SAMPLES / kind).iterdir())[-3:]:
            shutil.copy(image, folder / "pool" / "deeper" / f"{kind}_{image.name}")
    torch.manual_seed(7)
    task = Classification(["ship", "dog", "cat"], CIFAR)
    torch.nn.init.normal_(task.classifier.fc.weight, std=0.1)
    preprocessing = Preprocessing((0.4, 0.5, 0.6), (0.25, 0.25, 0.3), size=36, crop=1.0)
    task.network.set_preprocessing(preprocessing)
    content = {
        "epoch": 0,
        "global_step": 0,
        "state_dict": task.state_dict(),
        "resnet_tl": bundle(task.spec(), task.classes, preprocessing),
    }
    save_atomically(content, folder / "teacher.ckpt")
    return folder


def fit(
    folder: Path,
    case: str,
    tuning: dict[str, Any] | None = None,
    images: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[Classification, Record]:
    """See `regularised.fit`."""
    teacher = replace(Teacher(str(folder / "teacher.ckpt"), **CASES[case]), **(settings or {}))
    pool: dict[str, Any] = {"unlabelled": str(folder / "pool")} if case == "unlabelled" else {}
    tuning = {"teacher": teacher, **(tuning or {})}
    return regularised.fit(folder, tuning=tuning, images={**pool, "augment": "light", **(images or {})}, **options)


EXACT: dict[str, Any] = {"tuning": {"norm": "frozen"}, "trainer": {"precision": "64-true"}}
"""In which a batch is the sum of its parts up to rounding."""


def main() -> None:
    folder, *names = sys.argv[1:]
    ranks, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
    found: dict[str, Any] = {}
    for name in names:
        task, record = fit(Path(folder), name, ranks=ranks, **EXACT)
        torch.save(task.state_dict(), Path(folder) / f"{name}{rank}.pt")
        found[name] = {"digests": record.digests, "faults": record.faults}
    (Path(folder) / f"rank{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
