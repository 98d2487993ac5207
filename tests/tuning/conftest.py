"""Starting ranks as processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ranks_probe as probe

PROBE = probe.__file__
Launch = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """Runs cases on this number of gloo ranks and returns the results of each."""

    def launch(ranks: int, *cases: Any, program: str = PROBE) -> list[dict[str, Any]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        joined = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks), "NODE_RANK": "0"}
        processes = [
            subprocess.Popen(
                [sys.executable, program, str(tmp_path), *(getattr(case, "name", case) for case in cases)],
                env={**os.environ, **joined, "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(ranks)
        ]
        try:
            outputs = [process.communicate(timeout=1500)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert [process.returncode for process in processes] == [0] * ranks, outputs
        return [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(ranks)]

    return launch
