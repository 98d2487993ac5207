"""An error in the middle of a fit."""

from __future__ import annotations

from typing import Any

from lightning import Callback


class PowerCut(Callback):
    """Raises RuntimeError after one batch more than `batches`, before what later callbacks do with it."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_train_batch_end(self, *_: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("power cut")
