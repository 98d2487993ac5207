"""What validation decides for prediction, once a run is trained: best.ckpt has it, and `predict` applies it."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.checkpoint import store_decisions
from resnet_tl.metrics.box_matches import match
from resnet_tl.metrics.box_scores import best_scores
from resnet_tl.metrics.temperature import calibration_of, fit_temperature
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.evaluation import BoxEvaluation, ClassEvaluation, Evaluation
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
        if decisions != Decisions():
            store_decisions(best, decisions)
            (summary,) = (each for each in trainer.callbacks if isinstance(each, Summary))  # type: ignore[attr-defined]
            summary.decisions = numbers


def decide(evaluation: Evaluation) -> tuple[Decisions, dict[str, Any]]:
    """Returns the decisions, and what summary.json reports of them.

    Args:
        evaluation: of the best weights on the validation images.
    """
    if isinstance(evaluation, ClassEvaluation) and len(evaluation):
        decisions = Decisions(temperature=fit_temperature(evaluation))
        calibrated = decisions.calibrated(evaluation.probabilities, multi_label=evaluation.multi_label)
        before, after = (calibration_of(evaluation, each) for each in (evaluation.probabilities, calibrated))
        return decisions, {"temperature": decisions.temperature, "ece": before, "calibrated_ece": after}
    if isinstance(evaluation, BoxEvaluation):
        matches = match(evaluation, [0.5])
        if matches.hits.any():
            scores = best_scores(evaluation, matches).tolist()
            return Decisions(box_scores=scores), {"box_scores": dict(zip(evaluation.classes, scores, strict=True))}
    return Decisions(), {}
