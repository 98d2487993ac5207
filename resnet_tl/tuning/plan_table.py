"""The plan as text, shown before training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import nn

from resnet_tl.tuning.freezing import has_running_statistics
from resnet_tl.tuning.plan import Plan, ResolvedPhase


def table(
    plan: Plan,
    stages: Mapping[str, Sequence[nn.Module]],
    norm: str,
    rate: float | None = None,
    macs: Mapping[str, int] | None = None,
) -> str:
    """Returns a row per stage with its parameters and, per phase, `frozen` or its learning rate and mode of its norms.

    Args:
        norm: `tuning.norm`.
        rate: the schedule's highest rate, before the phase's factors; None: the factors themselves are shown.
        macs: multiply-accumulates of each stage, for a row of the compute saved; None: without that row.
    """
    rows = [["stage", "parameters", *(f"phase {n}: {_epochs(phase)}" for n, phase in enumerate(plan.phases))]]
    for stage, modules in stages.items():
        count = sum(parameter.numel() for module in modules for parameter in module.parameters())
        cells = [_cell(phase, stage, _norms(phase, stage, modules, norm), rate) for phase in plan.phases]
        rows.append([stage, f"{count:,}", *cells])
    if any(phase.settings.image_size for phase in plan.phases):
        rows.append(["image size", "", *(_size(phase.settings.image_size) for phase in plan.phases)])
    if not all(phase.settings.augment for phase in plan.phases):
        augmented = [phase.settings.augment for phase in plan.phases]
        rows.append(["images", "", *("augmented" if each else "as evaluated" for each in augmented)])
    if macs is not None:
        rows.append(["compute saved", "", *(f"{saved(phase, macs):.0%}" for phase in plan.phases)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def unreached(plan: Plan, max_steps: int, steps_an_epoch: float) -> str:
    """Returns a sentence on the phases that `max_steps` leaves no time for; empty: there are none.

    Args:
        max_steps: below 0: no limit.
        steps_an_epoch: batches over accumulated batches; infinite where a loader has no length.
    """
    if max_steps < 0 or math.isinf(steps_an_epoch):
        return ""
    epochs = math.ceil(max_steps / math.ceil(steps_an_epoch))
    index = next((index for index, phase in enumerate(plan.phases) if phase.start >= epochs), None)
    if index is None:
        return ""
    return f"trainer.max_steps is {max_steps}: the run ends in epoch {epochs}, before phase {index} begins"


def saved(phase: ResolvedPhase, macs: Mapping[str, int]) -> float:
    """Returns the share of a full training step's compute that a phase saves: 1 - cost / (3 * sum of all `macs`).

    A stage with m multiply-accumulates costs m for the forward pass, m for the gradient of its input and m for that of
    its weights: 3m if it is trained in whole, 2m if gradients only pass through it or only its norms or biases are
    trained, m if it is frozen from the input on. Norms, activations and the optimizer are not counted.
    """
    reached, cost = False, 0
    for stage, forward in macs.items():
        reached = reached or phase.factors[stage] > 0
        whole = phase.factors[stage] > 0 and stage not in phase.parts
        cost += forward * (3 if whole else 2 if reached else 1)
    return 1 - cost / (3 * max(sum(macs.values()), 1))


def _epochs(phase: ResolvedPhase) -> str:
    if phase.start == phase.end:
        return "skipped"
    first = phase.start + 1
    span = f"epochs {first}-{phase.end}" if phase.end > first else f"epoch {first}"
    return f"{span} or plateau" if phase.settings.until == "plateau" else span


def _norms(phase: ResolvedPhase, stage: str, modules: Sequence[nn.Module], norm: str) -> str:
    """Returns the mode of a trained stage's norms with running statistics, as the end of a cell; "" without any."""
    if not any(has_running_statistics(part) for module in modules for part in module.modules()):
        return ""
    parts = phase.parts.get(stage, ["norms"])
    if norm == "train" and "norms" not in parts and "last_norm" in parts:
        return ", other norms frozen"
    return ", norms train" if norm == "train" and "norms" in parts else ", norms frozen"


def _size(size: int | float | None) -> str:
    if size is None:
        return "data's"
    return f"{size} pixels" if isinstance(size, int) else f"{size:.0%} of data's"


def _cell(phase: ResolvedPhase, stage: str, norms: str, rate: float | None) -> str:
    factor = phase.factors[stage]
    if factor == 0:
        return "frozen"  # its norms are too, always
    if phase.settings.solver is not None:
        return "solved"
    part = f" ({' and '.join(phase.parts[stage])} only)" if stage in phase.parts else ""
    sign, scale = ("lr x ", 1.0) if rate is None else ("lr ", rate)
    first, last = (f"{scale * each:.4g}" for each in (phase.blocks.get(stage, [factor])[0], factor))
    return sign + (last if first == last else f"{first} to {last}") + part + norms
