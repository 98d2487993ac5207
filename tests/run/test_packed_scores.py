"""Packed sets are evaluated to the scores of the sets that were packed, every one of them, for each task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import resnet_tl
from resnet_tl.data.packing.pack import pack
from tests.data.packed_sets import SAMPLES, SETS, table

pytest.importorskip("litdata")

PYRAMID = {"class_path": "FPN", "init_args": {"channels": 16, "smooth": False}}
MASK_RCNN = {"class_path": "MaskRCNN", "init_args": {"samples": 8, "score_threshold": 0.01, "detections": 5}}
HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "classes": ("Classification", {}),
    "several classes": ("Classification", {"head": {"class_path": "LinearHead", "init_args": {"multi_label": True}}}),
    "numbers": ("Regression", {}),
    "objects": ("Detection", {"head": MASK_RCNN}),
    "mask files": ("Segmentation", {"neck": PYRAMID, "head": {"class_path": "SemanticFPNHead"}}),
    "painted masks": ("Segmentation", {"neck": PYRAMID, "head": {"class_path": "SemanticFPNHead"}}),
}
"""The networks for `SETS`."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "numbers" else pytest.mark.slow) for name in SETS]
)
def test_every_score_of_a_packed_set_is_that_of_its_files(name: str, tmp_path: Path) -> None:
    source, kind, options = SETS[name]
    files = source(tmp_path)
    pack(files, str(tmp_path / "packed"))
    place: dict[str, Any] = {"root": files.root}
    if name in ("several classes", "numbers"):
        place = {"csv": table(tmp_path, name == "several classes"), "root": str(SAMPLES / "classification")}
    task, parts = HEADS[name]
    recipe = {
        "model": {"class_path": task, "init_args": {"backbone": {"name": "resnet_tiny"}, **parts}},
        "data": {"class_path": type(files).__name__, "init_args": {**options, **place}},
        "trainer": {"max_epochs": 1, "precision": "32", "limit_train_batches": 1},
    }
    run = resnet_tl.fit(recipe, run=tmp_path / "run")
    packed = {"data": {"class_path": kind.__name__, "init_args": {"root": str(tmp_path / "packed")}}}
    scores = resnet_tl.evaluate(run)
    assert scores["images"] == len(files.listings["val"])
    assert len(scores["metrics"]) > 1
    from_shards = resnet_tl.evaluate(run, overlays=[packed])
    assert from_shards["metrics"] == scores["metrics"]
    assert json.dumps(from_shards) == json.dumps(scores), "tables, intervals, scores of each class"
