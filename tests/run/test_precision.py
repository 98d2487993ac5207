"""`precision: auto`, hardware by hardware."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_tl.run.precision import Hardware, automatic, hardware_of, instructions_in


@pytest.mark.parametrize(
    ("hardware", "value", "reason"),
    [
        (Hardware("cuda", (9, 0)), "bf16-mixed", "9.0"),
        (Hardware("cuda", (8, 0)), "bf16-mixed", "8.0"),
        (Hardware("cuda", (7, 5)), "32-true", "7.5"),
        (Hardware("cuda", (7, 5), frozenset({"amx_bf16"})), "32-true", "7.5"),
        (Hardware("cpu", None, frozenset({"amx_bf16", "avx512_bf16"})), "bf16-mixed", "AMX"),
        (Hardware("cpu", None, frozenset({"avx512_bf16"})), "bf16-mixed", "AVX512-BF16"),
        (Hardware("cpu", None, frozenset({"avx512f", "amx_tile"})), "32-true", "CPU"),
        (Hardware("cpu"), "32-true", "CPU"),
        (Hardware("mps"), "32-true", "MPS"),
    ],
)
def test_bf16_where_it_is_multiplied_natively(hardware: Hardware, value: str, reason: str) -> None:
    chosen = automatic(hardware)
    assert chosen.value == value
    assert reason in chosen.reason


def test_the_instructions_of_a_cpu(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16 amx_bf16\nprocessor\t: 1\nflags\t\t: other\n")
    assert instructions_in(path) == {"fpu", "avx512_bf16", "amx_bf16"}
    assert instructions_in(tmp_path / "none") == frozenset()
    path.write_text("Processor : ARM\nFeatures : bf16\n")
    assert instructions_in(path) == frozenset()


def test_this_machine() -> None:
    assert hardware_of("cpu").capability is None
