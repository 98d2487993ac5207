"""Explains why weights do not fit a network, and which network they fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from resnet_tl.errors import WeightsError
from resnet_tl.weights.keys import Content, Layout, Shape, find_layout
from resnet_tl.weights.report import ADAPTER, Report, abbreviated, in_trunk, is_counter

Candidates: TypeAlias = Callable[[], Iterable[tuple[str, dict[str, Shape]]]]
"""Names of networks, and the shapes of their trunks by torchvision's key."""


def check_fit(
    content: Content,
    trunk: Mapping[str, Shape],
    layout: Layout,
    report: Report,
    candidates: Candidates,
) -> None:
    """Checks that the file fits the network: the trunk was filled completely, and no tensor of its stages is left over.

    Args:
        content: of the file.
        trunk: the expected shapes.
        layout: where they were found.
        report: of filling the trunk.
        candidates: other networks, one of which may fit.

    Raises:
        WeightsError: the file does not fit; the message states the percentage, and the candidate that fits best.
    """
    surplus = _surplus(layout, trunk)
    if not report.unfilled and not surplus:
        return
    if not report.unfilled and all(key.endswith(ADAPTER) for key in surplus):
        raise WeightsError(f"{report.source} holds {len(surplus)} adapters, which need backbone.adapters: true")
    known = list(candidates())
    network = next((name for name, shapes in known if _same(shapes, trunk)), "the network")
    raise WeightsError(f"{report.source} {_complaint(network, report, surplus)}{_nearest(content, known, network)}")


def _complaint(network: str, report: Report, surplus: list[str]) -> str:
    if surplus and not report.unfilled:
        return f"fills all of {network} but holds {len(surplus)} more tensors ({abbreviated(surplus)})"
    wrong = abbreviated([f"{key} is {shapes}" for key, shapes in report.misshapen.items()])
    missing = abbreviated([key for key in report.unfilled if key not in report.misshapen])
    details = "; ".join([*([wrong] if wrong else []), *([f"without {missing}"] if missing else [])])
    return f"fills {_percent(report.share)} of {network} ({details})"


def _surplus(layout: Layout, trunk: Mapping[str, Shape]) -> list[str]:
    """Returns the file's further tensors in the trunk's stages: those of a deeper or richer network."""
    # Later stages do not count, since a trunk with few levels does not build them; neither do statistics, which a group
    # norm does not use.
    stages = {key.partition(".")[0] for key in trunk}
    left = [key for key in layout.tensors if key not in trunk and key.partition(".")[0] in stages]
    return [key for key in left if not _is_statistic(key)]


def _nearest(content: Content, known: list[tuple[str, dict[str, Shape]]], network: str) -> str:
    fits = {name: _fit(content, shapes) for name, shapes in known}
    if not fits:
        return ""
    best = max(fits, key=lambda name: fits[name])
    if best == network or not fits[best]:
        return f"; no other variant fits better (best: {best}, {_percent(fits[best])})"
    return f"; it fits {best} to {_percent(fits[best])}"


def _fit(content: Content, shapes: Mapping[str, Shape]) -> float:
    """Returns the tensors in both as a share of those in either."""
    layout = find_layout(content, shapes)
    either = {key for key in (*shapes, *layout.tensors) if in_trunk(key)}
    return layout.matched / len(either)


def _same(shapes: Mapping[str, Shape], trunk: Mapping[str, Shape]) -> bool:
    """Returns whether the trunk is this candidate, apart from its input channels and kind of norm."""
    first = first_convolution(trunk)
    absent = [key for key in shapes if key not in trunk and not _is_statistic(key)]
    return not absent and all(shapes.get(key) == shape or key == first for key, shape in trunk.items())


def first_convolution(trunk: Mapping[str, Shape]) -> str | None:
    """Returns the key of the convolution that reads the images."""
    return next((key for key, shape in trunk.items() if len(shape) == 4), None)


def _is_statistic(key: str) -> bool:
    return key.endswith((".running_mean", ".running_var")) or is_counter(key)


def _percent(share: float) -> str:
    """Rounds down, so that only a complete match is 100 %."""
    return f"{math.floor(100 * share)} %"
