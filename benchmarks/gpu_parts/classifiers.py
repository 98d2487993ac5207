"""The classifiers that are compared, and a training step of them: the same for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.gpu_parts.device import Mode, Run
from benchmarks.gpu_parts.setting import Setting
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, Network, build

CLASSES = 1000


def ours(setting: Setting) -> Network:
    network = build(Backbone(setting.variant), None, LinearHead, [str(number) for number in range(CLASSES)])
    return network.to(setting.device.kind)


def torchvisions(setting: Setting) -> nn.Module:
    import torchvision

    return _placed(setting, torchvision.models.get_model(setting.variant, weights=None, num_classes=CLASSES))


def timms(setting: Setting) -> nn.Module:
    import timm

    return _placed(setting, timm.create_model(setting.variant, num_classes=CLASSES))


def images(setting: Setting, batch: int) -> Tensor:
    """Normalised images `[batch, 3, side, side]` in fp32, channels-last, on the device."""
    x = torch.randn(batch, 3, setting.side, setting.side, device=setting.device.kind)
    return x.contiguous(memory_format=torch.channels_last)


def training_step(setting: Setting, model: nn.Module, run: Callable[..., Any], x: Any, mode: Mode) -> Run:
    """A step of SGD on what of `model` is trained, by autocast to bf16. run: what maps `x` to logits."""
    count = len(x) if isinstance(x, Tensor) else len(next(iter(x.maps.values())))
    targets = torch.randint(CLASSES, (count,), device=setting.device.kind)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.9, weight_decay=1e-4, fused=True)
    forward = setting.device.in_mode(run, mode)

    def step() -> None:
        with setting.device.autocast():
            loss = F.cross_entropy(forward(x), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()  # here, not first: a CUDA graph's gradients must be gone before its next replay

    return step


def _placed(setting: Setting, model: nn.Module) -> nn.Module:
    return model.to(setting.device.kind, memory_format=torch.channels_last).train()
