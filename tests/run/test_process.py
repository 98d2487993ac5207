"""The settings that the command makes for its process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import warnings

import pytest

from resnet_tl.run.process import configure_process

FAULTS = """
import resource, sys
from resnet_tl.run.process import configure_process
configure_process()
import numpy as np
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(16 << 20, np.uint8)
before = faults()
for _ in range(10):
    np.ones(16 << 20, np.uint8)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_reused_unless_turned_off() -> None:
    reused, returned = (page_faults({"RESNET_TL_MALLOPT": value}) for value in "10")
    assert reused < 1000
    assert returned > 10 * reused


def page_faults(environment: dict[str, str]) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.parametrize(
    ("given", "spins"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")]
)
def test_waiting_threads_yield_their_cores_unless_configured(given: dict[str, str], spins: str) -> None:
    script = (
        "from resnet_tl.run.process import configure_process; configure_process()\n"
        "import os; print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env={**environment, **given}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == spins


def test_warnings_of_the_package_are_plain_lines_and_others_name_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    configure_process()
    ours, line = sys.modules["resnet_tl.run.process"].__file__ or "", "skipped: a.jpg: cannot be decoded"
    assert warnings.formatwarning(line, UserWarning, ours, 73) == f"{line}\n"
    assert "process.py:73: DeprecationWarning: old" in warnings.formatwarning("old", DeprecationWarning, ours, 73)
    assert "/torch/x.py:1: UserWarning: odd" in warnings.formatwarning("odd", UserWarning, "/torch/x.py", 1)
