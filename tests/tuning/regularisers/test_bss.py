"""BSS's term next to numpy's singular values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.tuning.regularisers.base import Seen, Step
from resnet_tl.tuning.regularisers.bss import BSS, smallest_squared


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_term_is_the_sum_of_the_smallest_squared_singular_values(n: int, c: int, k: int, seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(n, c))
    expected = 0.25 * (np.linalg.svd(features, compute_uv=False)[-k:] ** 2).sum()
    seen = Seen({}, torch.from_numpy(features))
    assert float(BSS(0.25, k).penalty(Step(seen.features, None, seen, None))) == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]


def test_the_gradient_is_that_of_a_singular_value_decomposition() -> None:
    features = torch.randn(8, 32, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(smallest_squared(features, 2), features)
    (expected,) = torch.autograd.grad(torch.linalg.svdvals(features)[-2:].square().sum(), features)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_features_have_a_finite_gradient(value: float) -> None:
    features = torch.full((6, 9), value, requires_grad=True)
    (gradient,) = torch.autograd.grad(smallest_squared(features, 3), features)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_make_it_nan(value: float) -> None:
    features = torch.randn(4, 6)
    features[1, 2] = value
    assert smallest_squared(features, 1).isnan()
