"""Counts in Prometheus's text format."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.serve.counters import SECONDS, Counters, Histogram, resident_bytes

SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z]+="[^"\\\n]*"(?:,[a-z]+="[^"\\\n]*")*)\})? (-?\d+(?:\.\d+)?(?:e[+-]\d+)?)')


def parse(text: str) -> dict[str, dict[str, float]]:
    """Samples by family and by name with labels, as the grammar of the format has them: its lines end, HELP and TYPE
    come first and once, and every sample belongs to the family above it."""
    assert text.endswith("\n")
    families: dict[str, dict[str, float]] = {}
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in families
            families[name] = {}
        elif line.startswith("# TYPE "):
            assert line.split()[2] == name
            kinds[name] = line.split()[3]
            assert kinds[name] in ("counter", "gauge", "histogram")
        else:
            found = SAMPLE.fullmatch(line)
            assert found is not None, line
            endings = ("_bucket", "_sum", "_count") if kinds[name] == "histogram" else ("",)
            assert found[1] in {name + ending for ending in endings}
            key = found[1] + (f"{{{found[2]}}}" if found[2] else "")
            assert key not in families[name]
            families[name][key] = float(found[3])
    return families


def test_the_text_follows_the_format() -> None:
    counters = Counters()
    counters.requests["/predict", 200] += 3
    counters.seconds.observe(0.02)
    counters.batches.observe(4)
    families = parse(counters.text(waiting=7))
    assert families["resnet_tl_requests_total"] == {'resnet_tl_requests_total{path="/predict",status="200"}': 3}
    assert families["resnet_tl_images_total"] == {"resnet_tl_images_total": 4}
    assert families["resnet_tl_waiting_images"] == {"resnet_tl_waiting_images": 7}
    assert families["resnet_tl_batch_images"]['resnet_tl_batch_images_bucket{le="4"}'] == 1
    assert families["resnet_tl_batch_images"]['resnet_tl_batch_images_bucket{le="2"}'] == 0
    memory = resident_bytes()
    assert memory is None or memory > 10**7


@given(st.lists(st.floats(0, 100)))
def test_a_histogram_counts_values_up_to_each_bound(values: list[float]) -> None:
    histogram = Histogram(SECONDS)
    for value in values:
        histogram.observe(value)
    lines = dict(line.rsplit(" ", 1) for line in histogram.lines("x"))
    for bound in SECONDS:
        assert int(lines[f'x_bucket{{le="{bound}"}}']) == sum(value <= bound for value in values)
    assert int(lines['x_bucket{le="+Inf"}']) == int(lines["x_count"]) == len(values)
    assert float(lines["x_sum"]) == sum(values)
