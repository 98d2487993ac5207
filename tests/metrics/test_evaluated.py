"""Recorded predictions give the metrics of the pass that recorded them, and are the best epoch's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from cv2 import imread

import resnet_tl
from resnet_tl.metrics.evaluated import metric_options, metrics_of
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.structures.evaluation import BoxEvaluation, ClassEvaluation, Evaluation, PixelEvaluation
from resnet_tl.tracking.predictions import load_evaluation
from tests.cli.conftest import RECIPE as CLASSES
from tests.cli.conftest import images, several_labels
from tests.cli.test_detection import RECIPE as OBJECTS
from tests.cli.test_segmentation import RECIPE as MASKS

__all__ = ["images"]
SAMPLES = shipped_root() / "data" / "samples"


def trained(recipe: str, root: Path, folder: Path, **values: Any) -> tuple[Evaluation, resnet_tl.Run]:
    run = resnet_tl.fit(yaml.safe_load(recipe), run=folder / "run", **{"data.root": root, **values})
    return load_evaluation(run.path / "predictions.npz"), run


def compare(evaluation: Evaluation, run: resnet_tl.Run) -> None:
    """With the best epoch of the run, and with its evaluation afterwards."""
    metrics, options = metrics_of(evaluation), metric_options(evaluation)
    scores = {f"val/{name}": value for name, value in metrics.compute(**options).items()}
    best, evaluated = run.best, resnet_tl.evaluate(run)
    assert scores.keys() <= best.keys()
    for name, value in scores.items():
        assert best[name] == pytest.approx(value, abs=1e-6), name
        assert evaluated["metrics"][name] == pytest.approx(value, abs=1e-6), name
    if not isinstance(evaluation, PixelEvaluation):  # its tables have boundaries when it is evaluated
        assert metrics.tables(**options).items() <= evaluated.items()
    assert evaluated["images"] == len(evaluation)
    assert evaluation.step == best["step"]
    assert all(Path(evaluation.path(index)).is_file() for index in range(len(evaluation)))
    assert list(evaluation.keys) == sorted(evaluation.keys)
    assert float(evaluation.losses.mean()) == pytest.approx(best["val/loss"], rel=1e-4)


def test_classes(images: Path, tmp_path: Path) -> None:
    evaluation, run = trained(CLASSES, images, tmp_path)
    assert isinstance(evaluation, ClassEvaluation)
    compare(evaluation, run)
    assert not evaluation.multi_label
    assert evaluation.targets.tolist() == [0] * 4 + [1] * 4
    assert metrics_of(evaluation).interval() == tuple(resnet_tl.evaluate(run)["interval"])  # type: ignore[union-attr]


def test_several_labels(images: Path, tmp_path: Path) -> None:
    recipe = several_labels(images, tmp_path, thresholds="auto")
    evaluation, run = trained(yaml.safe_dump(recipe), images, tmp_path)
    assert isinstance(evaluation, ClassEvaluation)
    compare(evaluation, run)
    assert evaluation.multi_label
    assert evaluation.targets.sum(0).tolist() == [4, 8, 4]


def test_objects_with_masks(tmp_path: Path) -> None:
    evaluation, run = trained(OBJECTS, SAMPLES / "detection", tmp_path)
    assert isinstance(evaluation, BoxEvaluation)
    compare(evaluation, run)
    assert evaluation.has_masks
    for image in (evaluation.image, evaluation.target_image):
        assert (np.diff(image) >= 0).all()
        assert image.max() < len(evaluation)


def test_masks(tmp_path: Path) -> None:
    evaluation, run = trained(MASKS, SAMPLES / "segmentation", tmp_path)
    assert isinstance(evaluation, PixelEvaluation)
    compare(evaluation, run)
    assert evaluation.confusions().sum(0).tolist() == resnet_tl.evaluate(run)["confusion"]
    half, whole = (surface_distances(run, spacing=spacing) for spacing in (0.5, 1.0))
    assert whole == pytest.approx([2 * each for each in half])
    # Images of twice the size have the same distances in their files' pixels, but for their finer steps.
    height = min(imread(evaluation.path(0)).shape[:2])
    assert surface_distances(run, spacing=1.0, **{"data.short": 2 * height}) == pytest.approx(whole, rel=0.5)


def surface_distances(run: resnet_tl.Run, **options: Any) -> list[float]:
    rows = resnet_tl.evaluate(run, **options)["tables"]["summary"]
    return [row["value"] for row in rows if row["metric"] in ("assd", "hd95")]
