"""The plan as people read it before training."""

from __future__ import annotations

from collections.abc import Mapping

from resnet_tl.tuning.plan import Plan, Stretch


def table(plan: Plan, parameters: Mapping[str, int]) -> str:
    """Stage by phase: `parameters` counts those of each stage."""
    heads = [
        f"epochs {stretch.start}-{stretch.end - 1}" if stretch.end - stretch.start > 1 else f"epoch {stretch.start}"
        for stretch in plan.stretches
    ]
    rows = [["stage", "parameters", *heads]]
    for stage, count in parameters.items():
        rows.append([stage, f"{count:,}", *(_rate(stretch, stage) for stretch in plan.stretches)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _rate(stretch: Stretch, stage: str) -> str:
    factor = stretch.factors[stage]
    return "frozen" if factor == 0 else f"lr x {factor:.4g}"
