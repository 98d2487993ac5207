"""Names and numbers as people read them."""

from __future__ import annotations

NAMES = {
    "acc": "accuracy",
    "top5": "top-5 accuracy",
    "f1": "macro F1",
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
    "pixel_acc": "pixel accuracy",
    "boundary_f1": "boundary F1",
    "loss": "loss",
}


def metric_name(name: str) -> str:
    """`val/acc` -> `accuracy`; a metric without a name of its own keeps its key."""
    key = name.rpartition("/")[2]
    return NAMES.get(key, key)


def capitalised(text: str) -> str:
    """Its first letter alone, unlike `str.capitalize`, and not that of mAP."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def share(value: float) -> str:
    """0...1 in percent, `75.8 %`, without a line break inside."""
    return f"{100 * value:.1f}\u00a0%"


def interval_text(low: float, high: float) -> str:
    """An interval of a share in percent, `68.6 to 82.4 %`."""
    return f"{100 * low:.1f} to {100 * high:.1f}\u00a0%"


def points(value: float) -> str:
    """A difference of shares in percentage points with its sign."""
    return f"{100 * value:+.1f}".replace("-", "−")
