from __future__ import annotations

import pytest

from benchmarks.resnet import in_fresh_process
from benchmarks.step_profile import COLUMNS, NETWORKS, OURS, figures, shares_of


def test_the_shares_of_a_step_are_of_all_its_time() -> None:
    shares = in_fresh_process(shares_of, "semantic FPN", OURS, True)
    assert sum(shares.values()) == pytest.approx(100)
    assert all(0 < shares[kind] < 100 for kind in COLUMNS)
    assert shares["convolutions"] > shares["batch norms"]


def test_a_row_is_a_network_of_ours_or_of_its_peer() -> None:
    measured = {"shares": {"ResNet-50, stem to layer3 frozen: ours": dict(zip(COLUMNS, (93.0, 0.0, 7.0), strict=True))}}
    found = [(figure.row, figure.column, figure.value, figure.unit) for figure in figures(measured)]
    row = "ResNet-50, stem to `layer3` frozen: ours"
    assert found == [(row, "convolutions", 93.0, "%"), (row, "batch norms", 0.0, "%"), (row, "the rest", 7.0, "%")]
    assert all(peer != OURS for peer, _ in NETWORKS.values())
