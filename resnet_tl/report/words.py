"""Names and numbers as people read them."""

from __future__ import annotations

from resnet_tl.structures.scores import lower_is_better

SPLITS = {"val": "validation", "test": "test"}


def capitalised(text: str) -> str:
    """Its first letter alone, unlike `str.capitalize`, and not that of mAP."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def share(value: float) -> str:
    """0...1 in percent, `75.8 %`, without a line break inside."""
    return f"{100 * value:.1f}\u00a0%"


def as_text(metric: str, value: float) -> str:
    """A score: a share in percent, or an error in its own unit."""
    return f"{value:.4g}" if lower_is_better(metric) else share(value)


def interval_text(metric: str, interval: tuple[float, float] | None) -> str:
    """An interval of a score, `68.6 to 82.4 %` or `3.146 to 4.536`; nothing where it is unknown."""
    if interval is None:
        return ""
    low, high = interval
    return f"{low:.4g} to {high:.4g}" if lower_is_better(metric) else f"{100 * low:.1f} to {100 * high:.1f}\u00a0%"


def counted(classes: int, task: str) -> str:
    """`3 classes`, `1 number`."""
    one, many = ("number", "numbers") if task == "regression" else ("class", "classes")
    return f"{classes} {one if classes == 1 else many}"


def difference_text(metric: str, value: float, *, signed: bool = False) -> str:
    """A difference of scores: `1.2 points` of shares, `0.31` of errors."""
    if lower_is_better(metric):
        return f"{value:+.3g}".replace("-", "−") if signed else f"{abs(value):.3g}"
    return f"{points(value)} points" if signed else f"{abs(100 * value):.1f} points"


def points(value: float) -> str:
    """A difference of shares in percentage points with its sign."""
    return f"{100 * value:+.1f}".replace("-", "−")
