"""Scores by the names that people know."""

from __future__ import annotations

NAMES = {
    "acc": "accuracy",
    "top5": "top-5 accuracy",
    "balanced_acc": "balanced accuracy",
    "precision_macro": "macro precision",
    "recall_macro": "macro recall",
    "f1": "macro F1",
    "precision_weighted": "weighted precision",
    "recall_weighted": "weighted recall",
    "f1_weighted": "weighted F1",
    "precision_micro": "micro precision",
    "recall_micro": "micro recall",
    "f1_micro": "micro F1",
    "kappa": "Cohen's kappa",
    "auroc": "AUROC",
    "ece": "calibration error",
    "map": "mAP",
    "map50": "mAP at IoU 0.5",
    "map75": "mAP at IoU 0.75",
    "map_small": "mAP, small",
    "map_medium": "mAP, medium",
    "map_large": "mAP, large",
    "mar100": "recall, 100 per image",
    "mask_map": "mask mAP",
    "mask_map50": "mask mAP at IoU 0.5",
    "miou": "mean IoU",
    "dice": "mean Dice",
    "pixel_acc": "pixel accuracy",
    "mean_acc": "mean class accuracy",
    "boundary_f1": "boundary F1",
    "assd": "average surface distance",
    "hd95": "95 % Hausdorff distance",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "coverage": "coverage of intervals",
    "loss": "loss",
}


DETAILS = {
    "mar1": "recall, 1 per image",
    "mar10": "recall, 10 per image",
    "mar_small": "recall, small",
    "mar_medium": "recall, medium",
    "mar_large": "recall, large",
}
"""Scores that the head of a page leaves out."""

SENSITIVITY = "sensitivity_at_specificity_"
"""What the key begins with; the specificity follows."""


def metric_name(name: str) -> str:
    """`val/acc` -> `accuracy`; a metric without a name of its own keeps its key."""
    key = name.rpartition("/")[2]
    if key.startswith("mask_"):
        return f"mask {metric_name(key.removeprefix('mask_'))}"
    if key.endswith(("_old", "_new")):  # of the old or new classes alone
        return f"{metric_name(key[:-4])}, {key[-3:]} classes"
    if key.startswith(SENSITIVITY):
        return f"sensitivity at specificity {key.removeprefix(SENSITIVITY)}"
    return NAMES.get(key) or DETAILS.get(key, key)
