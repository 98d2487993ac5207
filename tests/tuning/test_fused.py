"""Fused optimizers: where they are used, and that phases, clipping and a gradient scaler work with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.fused import is_fused
from resnet_tl.tuning.rates import Optimizer, build_optimizer, parameter_groups


@pytest.mark.parametrize(
    ("name", "options", "fused", "device", "expected"),
    [
        ("sgd", {}, "auto", "cuda", True),
        ("adam", {}, "auto", "cuda", True),
        ("adamw", {"betas": [0.9, 0.99]}, "auto", "cuda", True),
        ("lamb", {}, "auto", "cuda", False),
        ("adamw", {"foreach": True}, "auto", "cuda", False),
        ("sgd", {"dampening": 0.1}, "auto", "cuda", False),
        ("sgd", {}, "auto", "cpu", False),
        ("adam", {}, "auto", "cpu", True),
        ("adamw", {}, "auto", "cpu", True),
        ("adamw", {"capturable": False}, "auto", "cpu", False),
        ("adamw", {}, "auto", "mps", False),
        ("sgd", {}, "auto", "mps", False),
        ("sgd", {}, True, "cpu", True),
        ("sgd", {}, False, "cuda", False),
    ],
)
def test_fused_by_name_options_and_device(name: str, options: Any, fused: Any, device: str, expected: bool) -> None:
    assert is_fused(name, options, fused, device) is expected


def test_what_cannot_be_fused_is_a_sentence() -> None:
    with pytest.raises(RecipeError, match=r"^optimizer.fused is true, but 'lamb' has no fused form; expected sgd"):
        is_fused("lamb", {}, True, "cuda")
    with pytest.raises(RecipeError, match=r"excludes optimizer.options.foreach; remove one$"):
        is_fused("sgd", {"foreach": False}, True, "cuda")


class Clipped(LightningModule):
    """Trains biases alone for a step, then everything."""

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 4, 2))
        self.net.to(memory_format=torch.channels_last)
        self.optimizer = optimizer

    def on_train_batch_start(self, batch: list[Tensor], batch_idx: int) -> None:
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(batch_idx > 0 or name.endswith("bias"))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return 100 * self.net(batch[0]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.optimizer, parameter_groups({"all": [self.net]}, 0.1))


def trained(optimizer: Optimizer, folder: Path, **options: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    module = Clipped(optimizer)
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=0.1, default_root_dir=folder, **options,
    )  # fmt: skip
    images = torch.randn(12, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    trainer.fit(module, DataLoader(torch.utils.data.TensorDataset(images), 4))
    return module.state_dict()


def scaled() -> Any:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    return {"plugins": [MixedPrecision("16-mixed", "cpu", scaler)]}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_phases_clipping_and_scaling_are_those_of_other_optimizers(name: str, precision: str, tmp_path: Path) -> None:
    options = scaled() if precision == "16-mixed" else {"precision": precision}
    found = [trained(Optimizer(name, 0.01, fused=fused), tmp_path, **options) for fused in (False, True)]
    for key, tensor in found[0].items():
        torch.testing.assert_close(found[1][key], tensor, rtol=1e-4, atol=1e-5)


def test_a_loaded_state_keeps_the_layout_of_the_weights_and_continues(tmp_path: Path) -> None:
    conv = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    groups = [{"params": list(conv.parameters()), "weight_decay": 0.0}]
    optimizer = build_optimizer(Optimizer("sgd", 0.1, fused=True), groups)
    conv(torch.randn(2, 4, 5, 5)).sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "state")
    resumed = build_optimizer(Optimizer("sgd", 0.1), groups)
    resumed.load_state_dict(torch.load(tmp_path / "state"))
    assert resumed.param_groups[0]["fused"], "a run on another device continues in its form"
    assert resumed.state[conv.weight]["momentum_buffer"].stride() == conv.weight.stride()
    resumed.state.pop(conv.bias)
    resumed.step()
