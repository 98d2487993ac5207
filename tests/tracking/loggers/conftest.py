from __future__ import annotations

from pathlib import Path

import pytest

from resnet_tl.tracking.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")
