"""A published model, made once for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_tl.publish.publish import Published, publish
from tests.publish.checkpoints import save_checkpoint


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Published]:
    """A grey ResNet-10-T as a checkpoint and as a folder."""
    root = tmp_path_factory.mktemp("published")
    saved = save_checkpoint(root / "best.ckpt", {"pool": "avgmax"}, name="resnet10t", in_channels=1)
    return saved, publish(saved, root / "ants", licence="apache-2.0")
