"""Fixtures that many tests share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
CACHE = tempfile.TemporaryDirectory()  # what runs keep; not the user's own, and gone at the end
os.environ["XDG_CACHE_HOME"] = CACHE.name


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures and weights that are not part of the project; tests that need them skip where they are missing."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("RESNET_TL_SHARED", beside))
    if not root.is_dir():
        pytest.skip(f"no real data at {root} (set RESNET_TL_SHARED)")
    return root
