"""Tables hold the numbers of the metrics."""

from __future__ import annotations

import pytest

from resnet_tl.metrics.evaluated import metrics_of
from resnet_tl.metrics.tables import tables_of
from tests.metrics.box_sets import box_set


def test_of_boxes() -> None:
    evaluation = box_set(20)
    tables, metrics = tables_of(evaluation), metrics_of(evaluation)
    values = {str(row["metric"]): row["value"] for row in tables.tables["summary"]}
    assert values == pytest.approx({name: value if value >= 0 else None for name, value in metrics.compute().items()})
    assert tables.tables["per_class"] == metrics.tables()["per_class"]
