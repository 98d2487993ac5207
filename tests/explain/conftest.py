"""The networks of `planted`, each trained once."""

from __future__ import annotations

import pytest

from resnet_tl.models.network import Network
from tests.explain import planted

pytest.importorskip("captum")


@pytest.fixture(scope="session")
def classifier() -> Network:
    return planted.classifier()


@pytest.fixture(scope="session")
def detector() -> Network:
    return planted.detector()


@pytest.fixture(scope="session")
def segmenter() -> Network:
    return planted.segmenter()
