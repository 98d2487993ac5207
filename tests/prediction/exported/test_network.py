"""A graph that fails while it runs ends in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from resnet_tl.errors import RunError
from resnet_tl.prediction.exported.description import describe, read_description
from resnet_tl.prediction.exported.network import ExportedNetwork
from resnet_tl.prediction.members import read_network

SAVED = Path(__file__).resolve().parents[2] / "fixtures" / "saved_2026_11" / "half_run"


def network(error: Exception, *, aligned: bool = False) -> ExportedNetwork:
    def run(images: NDArray[np.uint8]) -> list[NDArray[Any]]:
        raise error

    bundle, _ = read_network(SAVED, trust_code=False)
    text = describe(bundle, "classification", ["probabilities"], None, None, aligned=aligned)
    description, described = read_description(text, bundle.path)
    return ExportedNetwork(run, description, described.preprocessing)


def test_a_failure_of_the_runtime_names_the_images() -> None:
    with pytest.raises(RunError, match=r"fails on images of 2 x 3 x 8 x 9 \(N x C x H x W\): no such operator$"):
        network(ValueError("no such operator\nstack"))(torch.zeros(2, 3, 8, 9, dtype=torch.uint8))


def test_a_full_memory_is_not_a_fault_of_the_graph() -> None:
    with pytest.raises(MemoryError):
        network(MemoryError())(torch.zeros(2, 3, 8, 9, dtype=torch.uint8))


@pytest.mark.parametrize("aligned", [True, False])
def test_a_file_knows_how_its_masks_are_pasted(aligned: bool) -> None:
    assert network(MemoryError(), aligned=aligned).head.aligned == aligned
