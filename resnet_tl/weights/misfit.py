"""What to say of weights that are another network's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from resnet_tl.errors import WeightsError
from resnet_tl.weights.keys import Layout, Shape, find_layout
from resnet_tl.weights.report import Report, abbreviated, in_trunk, is_counter

Candidates: TypeAlias = Callable[[], Iterable[tuple[str, dict[str, Shape]]]]
"""Names of networks, and the shapes of their trunks by torchvision's key."""


def check_fit(
    content: Mapping[Any, Any],
    trunk: Mapping[str, Shape],
    layout: Layout,
    report: Report,
    candidates: Candidates,
) -> None:
    """Pass if the file is this network's: all of the trunk was filled, and no tensor is left over in its stages.

    Args:
        content: of the file.
        trunk: the shapes that were asked for.
        layout: where they were found.
        report: of filling the trunk.
        candidates: other networks; one of them may fit.

    Raises:
        WeightsError: it is not; the message says to how many percent it is, and which candidate's it is rather.
    """
    surplus = _surplus(layout, trunk)
    if not report.open and not surplus:
        return
    known = list(candidates())
    asked = next((name for name, shapes in known if _same(shapes, trunk)), "the network")
    raise WeightsError(f"{report.source} {_complaint(asked, report, surplus)}{_nearest(content, known, asked)}")


def _complaint(asked: str, report: Report, surplus: list[str]) -> str:
    if surplus and not report.open:
        return f"fills all of {asked} but holds {len(surplus)} tensors more ({abbreviated(surplus)})"
    wrong = abbreviated([f"{key} is {shapes}" for key, shapes in report.misshapen.items()])
    missing = abbreviated([key for key in report.open if key not in report.misshapen])
    details = "; ".join([*([wrong] if wrong else []), *([f"without {missing}"] if missing else [])])
    return f"fills {_percent(report.share)} of {asked} ({details})"


def _surplus(layout: Layout, trunk: Mapping[str, Shape]) -> list[str]:
    """Tensors that a deeper or richer network has in these stages. Later stages, which a trunk with few levels leaves
    out, and statistics, for which a group norm has no use, are none."""
    stages = {key.partition(".")[0] for key in trunk}
    left = [key for key in layout.tensors if key not in trunk and key.partition(".")[0] in stages]
    return [key for key in left if not _is_statistic(key)]


def _nearest(content: Mapping[Any, Any], known: list[tuple[str, dict[str, Shape]]], asked: str) -> str:
    fits = {name: _fit(content, shapes) for name, shapes in known}
    if not fits:
        return ""
    best = max(fits, key=lambda name: fits[name])
    if best == asked or not fits[best]:
        return f"; no other variant fits it better (best: {best}, {_percent(fits[best])})"
    return f"; it fits {best} to {_percent(fits[best])}"


def _fit(content: Mapping[Any, Any], shapes: Mapping[str, Shape]) -> float:
    """Tensors that are in both, as a share of those in either."""
    layout = find_layout(content, shapes)
    either = {key for key in (*shapes, *layout.tensors) if in_trunk(key)}
    return layout.matched / len(either)


def _same(shapes: Mapping[str, Shape], trunk: Mapping[str, Shape]) -> bool:
    """Whether the trunk is this candidate, apart from its input channels and kind of norm."""
    first = first_convolution(trunk)
    left_out = [key for key in shapes if key not in trunk and not _is_statistic(key)]
    return not left_out and all(shapes.get(key) == shape or key == first for key, shape in trunk.items())


def first_convolution(trunk: Mapping[str, Shape]) -> str | None:
    return next((key for key, shape in trunk.items() if len(shape) == 4), None)


def _is_statistic(key: str) -> bool:
    return key.endswith((".running_mean", ".running_var")) or is_counter(key)


def _percent(share: float) -> str:
    """Rounded down: what is not the whole is not 100 %."""
    return f"{math.floor(100 * share)} %"
