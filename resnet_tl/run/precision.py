"""`trainer.precision: auto`: bf16-mixed where the hardware multiplies bf16 natively, else 32."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch


class Precision(NamedTuple):
    """A value of `trainer.precision`, and why; no reason if the user chose it."""

    value: str
    reason: str = ""

    def __str__(self) -> str:
        return f"precision: {self.value}; {self.reason}" if self.reason else f"precision: {self.value}"


class Hardware(NamedTuple):
    """What the choice depends on: a GPU's compute capability (None: no GPU), a CPU's instructions in Linux's names."""

    device: str
    capability: tuple[int, int] | None = None
    instructions: frozenset[str] = frozenset()


def automatic(hardware: Hardware) -> Precision:
    """bf16-mixed keeps weights and losses in fp32 and needs no gradient scaling; emulated, it is slower than 32."""
    if hardware.capability is not None:
        generation = ".".join(map(str, hardware.capability))
        if hardware.capability >= (8, 0):
            return Precision("bf16-mixed", f"this GPU (compute capability {generation}) multiplies bf16 natively")
        return Precision("32-true", f"this GPU has compute capability {generation}; bf16 needs 8.0")
    for instruction, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")):
        if hardware.device == "cpu" and instruction in hardware.instructions:
            return Precision("bf16-mixed", f"this CPU multiplies bf16 natively ({name})")
    return Precision("32-true", f"this {hardware.device.upper()} is not known to multiply bf16 natively")


def hardware_of(device: str) -> Hardware:
    """device: `cuda`, `cpu` or `mps`, where the network will run. Of several GPUs the oldest counts."""
    if device == "cuda":
        return Hardware(device, min(torch.cuda.get_device_capability(n) for n in range(torch.cuda.device_count())))
    return Hardware(device, instructions=instructions_in(Path("/proc/cpuinfo")))


def instructions_in(cpuinfo: Path) -> frozenset[str]:
    """The flags of the first core; empty if there is no such file (macOS, Windows)."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())
