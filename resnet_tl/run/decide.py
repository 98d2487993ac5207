"""What validation decides for prediction, once a run is trained: best.ckpt has it, and `predict` applies it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.checkpoint import store_decisions
from resnet_tl.data.base import ImageData
from resnet_tl.data.listings.listing import Listing
from resnet_tl.errors import UserError
from resnet_tl.metrics.box_matches import match
from resnet_tl.metrics.box_scores import best_scores
from resnet_tl.metrics.conformal import images_needed, margins_of, possible_from
from resnet_tl.metrics.temperature import calibration_of, fit_temperature
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.load import load
from resnet_tl.run.outliers import fit_outliers, spread_images, spread_over_classes
from resnet_tl.run.resume import checkpoint_is_trusted
from resnet_tl.structures.decisions import ClassSpace, Decisions, Limits
from resnet_tl.structures.evaluation import BoxEvaluation, ClassEvaluation, Evaluation, ValueEvaluation
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.predictions import load_evaluation
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.summary import Summary


class Decide(Callback):
    """Decides at the end of `fit`, before summary.json is finished and loggers take best.ckpt; for a run without
    predictions.npz, nothing."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        best = self.run.checkpoints / "best.ckpt"
        if not (trainer.is_global_zero and best.is_file() and self.run.best_predictions.is_file()):
            return
        decisions, numbers = decide(load_evaluation(self.run.best_predictions))
        if decisions == Decisions():
            return
        space = None
        if decisions.possible is not None:
            space, limits = self._outliers(trainer.datamodule, str(pl_module.device))  # type: ignore[attr-defined]
            decisions = replace(decisions, outliers=limits)
        store_decisions(best, decisions, space)
        (summary,) = (each for each in trainer.callbacks if isinstance(each, Summary))  # type: ignore[attr-defined]
        summary.decisions = numbers

    def _outliers(self, data: ImageData[Listing], device: str) -> tuple[ClassSpace, Limits] | tuple[None, None]:
        """What recognises outliers; (None, None) if it cannot be fitted, with a line of the log that says why."""
        start = time.monotonic()
        try:
            predictor = load(self.run.path, device=device, trust_code=checkpoint_is_trusted(self.run))
            assert isinstance(predictor, ClassPredictor)
            train, val = spread_over_classes(data.listings["train"]), spread_images(data.evaluated("val"))
            found = fit_outliers(predictor, train, val)
        except UserError as error:
            log_info(f"predict --unsure will not work with this run: {error}")
            return None, None
        seconds = time.monotonic() - start
        log_info(f"for predict --unsure: {len(train)} training and {len(val)} validation images in {seconds:.0f} s")
        return found


def decide(evaluation: Evaluation) -> tuple[Decisions, dict[str, Any]]:
    """Returns what the predictions alone decide, and what summary.json reports of it.

    Args:
        evaluation: of the best weights on the validation images.
    """
    if isinstance(evaluation, ClassEvaluation) and len(evaluation):
        return _of_classes(evaluation)
    if isinstance(evaluation, BoxEvaluation):
        matches = match(evaluation, [0.5])
        if matches.hits.any():
            scores = best_scores(evaluation, matches).tolist()
            return Decisions(box_scores=scores), {"box_scores": dict(zip(evaluation.classes, scores, strict=True))}
    if isinstance(evaluation, ValueEvaluation) and len(evaluation):
        return _of_values(evaluation)
    return Decisions(), {}


def _of_values(evaluation: ValueEvaluation) -> tuple[Decisions, dict[str, Any]]:
    margins = margins_of(evaluation.predictions, evaluation.targets, evaluation.coverage)
    if margins is None:
        needed = images_needed(evaluation.coverage)
        log_info(
            f"predict gives no intervals: at {evaluation.coverage:.0%} they need {needed} validation images, "
            f"but there are {len(evaluation)}"
        )
        return Decisions(), {}
    by_name = dict(zip(evaluation.classes, margins, strict=True))
    numbers = {"margins": by_name, "images": len(evaluation), "coverage": evaluation.coverage}
    return Decisions(margins=margins), numbers


def _of_classes(evaluation: ClassEvaluation) -> tuple[Decisions, dict[str, Any]]:
    decisions = Decisions(temperature=fit_temperature(evaluation))
    calibrated = decisions.calibrated(evaluation.probabilities, multi_label=evaluation.multi_label)
    before, after = (calibration_of(evaluation, each) for each in (evaluation.probabilities, calibrated))
    numbers = {"temperature": decisions.temperature, "images": len(evaluation), "ece": before, "calibrated_ece": after}
    if evaluation.multi_label:
        return decisions, numbers
    of_truth = calibrated[np.arange(len(evaluation)), evaluation.targets]
    return replace(decisions, possible=possible_from(of_truth)), numbers
