"""How the Trainer writes checkpoints: atomically, as tensors and plain Python."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from resnet_tl.tensor_file import load_safely, save_atomically, to_plain


class SafeCheckpointIO(CheckpointIO):
    """`Trainer(plugins=[SafeCheckpointIO()])`: always reads with `weights_only=True`.

    Attributes:
        seconds: spent on saving so far.
    """

    seconds = 0.0

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        start = time.monotonic()
        save_atomically(to_plain(checkpoint), Path(path))
        self.seconds += time.monotonic() - start

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load_safely(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)
