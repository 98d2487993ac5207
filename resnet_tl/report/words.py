"""Names and numbers as people read them."""

from __future__ import annotations

SPLITS = {"val": "validation", "test": "test"}


def capitalised(text: str) -> str:
    """Its first letter alone, unlike `str.capitalize`, and not that of mAP."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def share(value: float) -> str:
    """0...1 in percent, `75.8 %`, without a line break inside."""
    return f"{100 * value:.1f}\u00a0%"


def interval_text(interval: tuple[float, float] | None) -> str:
    """An interval of a share in percent, `68.6 to 82.4 %`; nothing where it is unknown."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}\u00a0%" if interval else ""


def points(value: float) -> str:
    """A difference of shares in percentage points with its sign."""
    return f"{100 * value:+.1f}".replace("-", "−")
