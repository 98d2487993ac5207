"""The most memory of a process."""

from __future__ import annotations

import resource

import pytest
import torch

from resnet_tl.tracking.memory import peak_memory


def test_the_peak_is_that_of_the_process() -> None:
    before = peak_memory(torch.device("cpu"))
    assert set(before) == {"process"}
    torch.ones(2 * 10**8 + int(before["process"] * 1e9), dtype=torch.uint8)
    after = peak_memory(torch.device("cpu"))
    assert after["process"] > before["process"] + 0.1
    assert after["process"] == pytest.approx(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, rel=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_of_the_gpu_it_is_that_of_tensors() -> None:
    tensor = torch.ones(10**8, dtype=torch.uint8, device="cuda")
    assert peak_memory(tensor.device)["GPU"] >= 0.1
