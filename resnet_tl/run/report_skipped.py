"""Reports early that images are skipped: thousands may mean a wrong folder, for which the end of a run is late."""

from __future__ import annotations

from lightning import Callback, LightningModule, Trainer

from resnet_tl.data.base import ImageData
from resnet_tl.tracking.log import log_info


class ReportSkipped(Callback):
    """Reports once, after the first pass over images that meets some that cannot be decoded, how many and the first."""

    def __init__(self, data: ImageData) -> None:
        self._data = data
        self._reported = data.on_error == "error"

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report()

    def _report(self) -> None:
        if self._reported or not (skipped := self._data.skipped()):
            return
        self._reported = True
        log_info(
            f"skipped so far, as they cannot be decoded (data.on_error): {len(skipped)} of "
            f"{sum(map(len, self._data.listings.values())):,} images; the first: {skipped[0]}"
        )
