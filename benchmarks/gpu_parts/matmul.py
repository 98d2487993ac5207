"""The ceiling: a bf16 matrix product of random numbers (zeros would be faster: they draw less power)."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.alternate import quartiles
from benchmarks.figures import Figure
from benchmarks.gpu_parts.race import SPEED, TABLE, memory
from benchmarks.gpu_parts.setting import Setting


def measure(setting: Setting) -> Iterator[Figure]:
    setting.device.forget_peak()
    low, median, high = quartiles([operations / 1e12 for operations in rates(setting)])
    row = f"bf16 matrix product, {setting.matmul} x {setting.matmul}"
    yield Figure(TABLE, row, SPEED, median, "TFLOP/s", None, "higher", low, high)
    yield from memory(row, setting.device.peak())


def rates(setting: Setting) -> list[float]:
    """Returns the floating-point operations per second of each round."""
    side, device = setting.matmul, setting.device
    one, other = (torch.randn(side, side, device=device.kind, dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(one)

    def multiply() -> None:
        torch.mm(one, other, out=out)

    device.seconds(multiply, 5 * setting.steps)
    return [2 * side**3 / device.seconds(multiply, 5 * setting.steps) for _ in range(setting.rounds)]
