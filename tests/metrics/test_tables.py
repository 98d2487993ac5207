"""Tables hold the numbers of the metrics."""

from __future__ import annotations

import pytest

from resnet_tl.metrics.box_outcomes import BoxOutcomes
from resnet_tl.metrics.evaluated import metrics_of
from resnet_tl.metrics.tables import tables_of
from tests.metrics.box_sets import box_set


def test_of_boxes() -> None:
    evaluation = box_set(20)
    tables, metrics = tables_of(evaluation), metrics_of(evaluation)
    values = {str(row["metric"]): row["value"] for row in tables.tables["summary"]}
    assert values == pytest.approx({name: value if value >= 0 else None for name, value in metrics.compute().items()})
    more = BoxOutcomes.of(evaluation)
    rows = zip(metrics.tables()["per_class"], more.class_rows(), strict=True)
    assert tables.tables["per_class"] == [{**counted, **chosen} for counted, chosen in rows]
    assert tables.tables["errors"] == more.error_rows()
    confusion = [[row[name] for name in more.names] for row in tables.tables["confusion"]]
    assert confusion == more.confusion().tolist()
