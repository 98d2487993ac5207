"""The plan as people read it before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from resnet_tl.tuning.freezing import keeps_statistics
from resnet_tl.tuning.plan import Plan, Stretch


def table(
    plan: Plan,
    stages: Mapping[str, Sequence[nn.Module]],
    norm: str,
    rate: float | None = None,
    macs: Mapping[str, int] | None = None,
) -> str:
    """Stage by phase: its parameters, frozen or its learning rate, how its norms normalise; the share of a step saved.

    Args:
        norm: the plan's, of trained stages.
        rate: the highest that the schedule gives before the phase's factors; None: only the factors are shown.
        macs: multiply-accumulates of each stage; None: unknown, and no share is shown.
    """
    rows = [["stage", "parameters", *(_epochs(stretch) for stretch in plan.stretches)]]
    for stage, modules in stages.items():
        count = sum(parameter.numel() for module in modules for parameter in module.parameters())
        cells = [_cell(stretch, stage, _norms(stretch, stage, modules, norm), rate) for stretch in plan.stretches]
        rows.append([stage, f"{count:,}", *cells])
    if macs is not None:
        rows.append(["compute saved", "", *(f"{saved(stretch, macs):.0%}" for stretch in plan.stretches)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def saved(stretch: Stretch, macs: Mapping[str, int]) -> float:
    """The share of a full training step's compute that a phase does without: 1 - cost / (3 * sum of all `macs`).

    Of a stage with m multiply-accumulates a forward pass costs m, the gradient of its input m, that of its weights m.
    So a stage trained whole costs 3m; one that gradients only pass through, or of which norms and biases alone are
    trained, 2m; the stages frozen from the input on m. Norms, activations and the optimizer are not counted.
    """
    reached, cost = False, 0
    for stage, forward in macs.items():
        reached = reached or stretch.factors[stage] > 0
        whole = stretch.factors[stage] > 0 and stage not in stretch.parts
        cost += forward * (3 if whole else 2 if reached else 1)
    return 1 - cost / (3 * max(sum(macs.values()), 1))


def _epochs(stretch: Stretch) -> str:
    last = stretch.end - 1
    span = f"epochs {stretch.start}-{last}" if last > stretch.start else f"epoch {stretch.start}"
    return f"{span} or plateau" if stretch.phase.until == "plateau" else span


def _norms(stretch: Stretch, stage: str, modules: Sequence[nn.Module], norm: str) -> str:
    """How a trained stage's norms that keep running statistics go; nothing where there are none."""
    if not any(keeps_statistics(part) for module in modules for part in module.modules()):
        return ""
    trained = stage not in stretch.parts or "norms" in stretch.parts[stage]
    return ", norms train" if trained and norm == "train" else ", norms frozen"


def _cell(stretch: Stretch, stage: str, norms: str, rate: float | None) -> str:
    factor = stretch.factors[stage]
    if factor == 0:
        return "frozen"  # its norms always are, too
    part = f" ({' and '.join(stretch.parts[stage])} only)" if stage in stretch.parts else ""
    return (f"lr x {factor:.4g}" if rate is None else f"lr {rate * factor:.4g}") + part + norms
