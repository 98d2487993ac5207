"""`trainer.precision: auto`: bf16-mixed where the hardware multiplies bf16 natively, else 32."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch


class Precision(NamedTuple):
    """A value of `trainer.precision`, and why."""

    value: str
    reason: str


class Hardware(NamedTuple):
    """What decides: a GPU's compute capability (None: no GPU) or the CPU's instructions, as Linux names them."""

    device: str
    capability: tuple[int, int] | None = None
    instructions: frozenset[str] = frozenset()


def automatic(hardware: Hardware) -> Precision:
    """bf16-mixed keeps weights and losses in fp32 and scales no gradients; emulated, it is slower than 32."""
    if hardware.capability is not None:
        generation = ".".join(map(str, hardware.capability))
        if hardware.capability >= (8, 0):
            return Precision("bf16-mixed", f"this GPU, of compute capability {generation}, multiplies bf16")
        return Precision("32-true", f"this GPU has compute capability {generation}; bf16 came with 8.0")
    for instruction, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")):
        if hardware.device == "cpu" and instruction in hardware.instructions:
            return Precision("bf16-mixed", f"this CPU multiplies bf16, by {name}")
    return Precision("32-true", f"nothing says that this {hardware.device.upper()} multiplies bf16")


def hardware_of(device: str) -> Hardware:
    """device: `cuda`, `cpu` or `mps`, where the network is going to be. The slowest of several GPUs counts."""
    if device == "cuda":
        return Hardware(device, min(torch.cuda.get_device_capability(n) for n in range(torch.cuda.device_count())))
    return Hardware(device, instructions=instructions_in(Path("/proc/cpuinfo")))


def instructions_in(cpuinfo: Path) -> frozenset[str]:
    """The flags of the first core; none where the system has no such file (macOS, Windows)."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())
