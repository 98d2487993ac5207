from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.structures.records import Preprocessing
from resnet_tl.weights.records import WeightRecord, from_metadata, to_metadata

shares = st.floats(0.01, 1)
preprocessing = st.builds(
    Preprocessing,
    mean=st.tuples(shares, shares, shares),
    std=st.tuples(shares, shares, shares),
    size=st.integers(1, 1000),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    crop=shares,
    max_size=st.none() | st.integers(1, 2000),
)
records = st.builds(
    WeightRecord,
    source=st.just("file"),
    sha256=st.none(),
    preprocessing=preprocessing,
    stated=st.just(True),
    classes=st.none() | st.lists(st.text()).map(tuple),
    licence=st.none() | st.text(),
    score=st.none() | st.text(),
    norm_eps=st.none() | shares,
)


@given(records)
def test_a_record_survives_a_safetensors_header(record: WeightRecord) -> None:
    header = to_metadata(record)
    assert all(isinstance(text, str) for item in header.items() for text in item)
    assert from_metadata(header, "file") == record


def test_another_header_gives_the_source_only() -> None:
    assert from_metadata({"format": "pt"}, "file") == WeightRecord("file")
