"""A temperature changes how sure predictions are, never what they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from resnet_tl.structures.decisions import TEMPERATURES, Decisions, Limit

# Not further apart than float32 probabilities can show.
LOGITS = arrays.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 7)), elements=st.floats(-40, 40))
TEMPERATURE = st.floats(*TEMPERATURES)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@settings(max_examples=200, deadline=None)
@given(LOGITS, TEMPERATURE)
def test_classes_are_calibrated_as_their_logits_divided_by_the_temperature(
    logits: NDArray[np.float64], temperature: float
) -> None:
    raw = softmax(logits).astype(np.float32)
    calibrated = Decisions([temperature]).calibrated(raw, multi_label=False)
    assert calibrated.dtype == np.float32
    np.testing.assert_allclose(calibrated, softmax(logits / temperature), rtol=1e-4, atol=1e-6)
    rows = np.arange(len(raw))
    assert (calibrated[rows, raw.argmax(1)] == calibrated.max(1)).all()


@settings(max_examples=200, deadline=None)
@given(LOGITS, st.data())
def test_each_label_has_a_temperature_of_its_own(logits: NDArray[np.float64], data: st.DataObject) -> None:
    logits = logits / 4  # a float32 next to 1 says little about its logit
    temperatures = data.draw(st.lists(TEMPERATURE, min_size=logits.shape[1], max_size=logits.shape[1]))
    raw = (1 / (1 + np.exp(-logits))).astype(np.float32)
    calibrated = Decisions(temperatures).calibrated(raw, multi_label=True)
    np.testing.assert_allclose(calibrated, 1 / (1 + np.exp(-logits / temperatures)), rtol=5e-3, atol=5e-3)
    sides = np.sign(calibrated - 0.5) * np.sign(raw - 0.5)
    assert (sides >= 0).all()


def test_nothing_decided_changes_nothing() -> None:
    raw = np.array([[0.25, 0.75]], np.float32)
    np.testing.assert_array_equal(Decisions().calibrated(raw, multi_label=False), raw)
    certain = np.array([[0.0, 1.0]], np.float32)
    for multi_label in (False, True):
        temperature = [3.0, 3.0] if multi_label else [3.0]
        np.testing.assert_array_equal(Decisions(temperature).calibrated(certain, multi_label=multi_label), certain)


def test_equal_scores_of_validation_have_no_unit() -> None:
    assert Limit(0.2, 0.3).meaningful
    assert Limit(0.0001, 0.0002).meaningful
    assert not Limit(0.2, 0.2).meaningful
    assert not Limit(-800.0, -799.9999).meaningful
