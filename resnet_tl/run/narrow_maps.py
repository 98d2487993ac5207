"""Maps of one pixel's width, in bf16 on a CPU: torch's gradients of strided convolutions on them are garbage or NaN.

Seen with torch 2.14 on AVX512-BF16: the gradient of the weights then comes from memory that oneDNN has not written.
ResNets have such maps for images of 16 pixels, detectors' `p7` for 64. A column of zeros to the right changes neither
what a padded convolution of stride 2 returns nor its gradients, and makes the map wide enough.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class PadNarrowMaps(Callback):
    """Pads these maps during a fit, before every convolution that they would go wrong in."""

    def __init__(self) -> None:
        self._hooks: list[RemovableHandle] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.strategy.root_device.type == "cpu" and trainer.precision == "bf16-mixed":
            self._hooks = [layer.register_forward_pre_hook(_pad) for layer in pl_module.modules() if _is_strided(layer)]

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._remove()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._remove()

    def _remove(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


def _is_strided(layer: nn.Module) -> bool:
    """Whether a layer is a convolution that steps over a second column of padding."""
    if not isinstance(layer, nn.Conv2d) or isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        return False
    reach = layer.dilation[1] * (layer.kernel_size[1] - 1) + 1 - 2 * layer.padding[1]
    return layer.padding[1] > 0 and (1 - reach) // layer.stride[1] == (2 - reach) // layer.stride[1]


def _pad(layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    (maps,) = inputs
    return (F.pad(maps, (0, 1)),) if maps.shape[-1] == 1 and torch.is_grad_enabled() else inputs
