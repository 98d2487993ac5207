"""A frozen stage does not change by a bit while others are trained: on our network, timm's and a small one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from ranks_probe import CLASSES, Plain, batch_of, conv_net, digest, timm_net
from torch import Tensor, nn
from torch.utils.data import DataLoader

from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build
from resnet_tl.structures.records import Batch
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.stages import stages_of

LATE_FREEZE = [Phase(epochs=1), Phase(["layer[34]", "head"])]
BELOW_IS_TRAINED = [Phase(epochs=1), Phase(["layer1", "head"])]


def our_net() -> tuple[nn.Module, dict[str, Any]]:
    net = build(Backbone("resnet18"), None, LinearHead, list("abcd"))
    trunk = [f"net.trunk.layer{i}" for i in range(1, 5)]
    layers = {path.rpartition(".")[2]: path for path in trunk}
    return net, {"stem": ["net.trunk.conv1", "net.trunk.bn1"], **layers, "head": "net.head"}


NETS = {"ours": our_net, "timm": timm_net, "convnet": conv_net}


class Restless(Plain):
    """Does what users do: flips modes by hand, copies itself, keeps gradients as zeros."""

    def __init__(self, net: nn.Module, optimizer: str) -> None:
        super().__init__(net)
        self.kind = optimizer

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.eval()
        self.train()
        for part in self.modules():
            part.train()
        if batch_idx == 3:
            copy.deepcopy(self.net).train()(batch.images.float() / 255)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.train()
        with torch.no_grad():
            super().validation_step(batch, batch_idx)
        self.eval()

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=False)

    def on_validation_model_zero_grad(self) -> None:
        """Lightning drops gradients here; then none would remain when a stage is frozen."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.kind == "adamw":
            return torch.optim.AdamW(self.parameters(), 1e-2, weight_decay=0.1)
        return torch.optim.SGD(self.parameters(), 0.05, momentum=0.9, weight_decay=0.1)


class Watch(Callback):
    """Digests of frozen stages, raw and averaged: at the freeze, after every step, in every validation."""

    def __init__(self, tuning: FineTuning) -> None:
        self.tuning, self.seen, self.steps = tuning, [], 0

    def look(self, pl_module: LightningModule) -> None:
        frozen = self.tuning.phase_state.current.frozen
        tensors = {id(t): name for name, t in [*pl_module.named_parameters(), *pl_module.named_buffers()]}
        parts = [part for stage in frozen for part in self.tuning.phase_state.stages[stage]]
        own = [t for part in parts for t in (*part.parameters(), *part.buffers())]
        if own:
            self.seen.append(digest(own))
            if self.tuning.average is not None:
                self.seen.append(digest(self.tuning.average.state[tensors[id(t)]] for t in own))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.look(pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.look(pl_module)
        self.steps += bool(self.tuning.phase_state.current.frozen)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.look(pl_module)


def samples(count: int) -> list[tuple[Tensor, Tensor, int]]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return [(image, torch.eye(CLASSES)[i % CLASSES], i) for i, image in enumerate(images)]


def fit(network: str, optimizer: str, tuning: Tuning, precision: str, folder: Path) -> tuple[Restless, Watch]:
    torch.manual_seed(0)
    net, stages = NETS[network]()
    module, callback = Restless(net, optimizer), FineTuning(tuning, stages)
    watch = Watch(callback)
    train, val = (DataLoader(samples(n), 4, collate_fn=batch_of) for n in (40, 4))
    Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, precision=precision, callbacks=[callback, watch], default_root_dir=folder,
        num_sanity_val_steps=0,
    ).fit(module, train, val)  # fmt: skip
    return module, watch


EVERYDAY = [
    ("ours", "sgd", LATE_FREEZE, None, "32-true"),
    ("ours", "adamw", BELOW_IS_TRAINED, 0.9, "32-true"),
    ("timm", "sgd", LATE_FREEZE, 0.9, "32-true"),
    ("convnet", "adamw", BELOW_IS_TRAINED, 0.9, "bf16-mixed"),
]
ALL = [
    (network, optimizer, phases, ema, precision)
    for network in NETS
    for optimizer in ("sgd", "adamw")
    for phases in (LATE_FREEZE, BELOW_IS_TRAINED)
    for ema in (None, 0.9)
    for precision in ("32-true", "bf16-mixed")
]


@pytest.mark.parametrize(
    ("network", "optimizer", "phases", "ema", "precision"),
    [*EVERYDAY, *(pytest.param(*case, marks=pytest.mark.slow) for case in ALL if case not in EVERYDAY)],
)
@pytest.mark.parametrize("norm", ["train", pytest.param("frozen", marks=pytest.mark.slow)])
def test_twenty_steps_two_validations_a_late_freeze(
    network: str, optimizer: str, phases: list[Phase], ema: float | None, precision: str, norm: Any, tmp_path: Path
) -> None:
    if network == "convnet":
        phases = [
            Phase(p.train if p.train == "all" else [s for s in p.train if s != "layer4"], p.epochs) for p in phases
        ]
    module, watch = fit(
        network, optimizer, Tuning(phases, norm=norm, ema=ema, allow_untrained=True), precision, tmp_path
    )
    assert watch.steps == 20
    assert len(watch.seen) == (40 + 2) * (1 if ema is None else 2)
    assert len(set(watch.seen)) == 1, "weights, statistics and averages of what is frozen are the same bits throughout"
    if phases is LATE_FREEZE:
        check_maps(module)


def check_maps(module: Restless) -> None:
    """Up to the last frozen stage, outputs are equal in train and eval mode and with any other images in the batch."""
    _, stages = NETS["ours" if hasattr(module.net, "trunk") else "timm"]()
    maps: list[Tensor] = []
    stages_of(module, stages)["layer2"][0].register_forward_hook(lambda part, inputs, output: maps.append(output))
    images = torch.stack([image for image, _, _ in samples(8)]).float() / 255
    with torch.no_grad():
        for mode, split in ((True, [8]), (False, [8]), (True, [2, 4, 2])):
            module.train(mode)
            for part in images.split(split):
                module.net(part)
    assert torch.equal(maps[0], maps[1])
    split = torch.cat(maps[2:])
    assert float((split - maps[0]).abs().max() / maps[0].abs().max()) <= 1e-5
