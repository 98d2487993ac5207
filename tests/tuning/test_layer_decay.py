"""Rates that decay a block at a time: timm's own, in an optimizer's step, in the log, the table, after a resume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from timm.optim import param_groups_layer_decay
from torch import nn
from torch.utils.data import DataLoader

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build, public_keys
from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.plan_table import table
from resnet_tl.tuning.resolve import resolve
from resnet_tl.tuning.stages import blocks_of, owners, units_of

BY_BLOCK = Phase(layer_decay=0.75, layer_decay_by="block")


@pytest.mark.parametrize(("name", "layers"), [("resnet18", 10), ("resnet50", 18)])
def test_factors_are_timms(name: str, layers: int) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(name, num_classes=3)
        ours = build(Backbone(name), None, LinearHead, list("abc"))
    names = {id(parameter): key for key, parameter in theirs.named_parameters()}
    groups = param_groups_layer_decay(theirs, layer_decay=0.75)
    expected = {names[id(parameter)]: group["lr_scale"] for group in groups for parameter in group["params"]}
    assert len(set(expected.values())) == layers

    stages = ours.stages()
    units = units_of(stages, blocks_of(ours, stages))
    (phase,) = resolve(Tuning([BY_BLOCK]), list(stages), 1, blocks=blocks_of(ours, stages)).phases
    owner = owners({unit: modules for own in units.values() for unit, modules in own.items()})
    keys = public_keys(ours)
    found = {keys[key]: phase.unit_factors[owner[id(parameter)]] for key, parameter in ours.named_parameters()}
    assert found == expected


def test_the_lr_of_a_phase_multiplies_the_blocks_of_its_stages() -> None:
    phases = [
        Phase(["head"], 1),
        Phase(["layer*", "head"], lr={"layer1": 0.1}, layer_decay=0.5, layer_decay_by="block"),
    ]
    blocks = {"layer1": "ab", "layer2": "abc"}
    first, second = resolve(Tuning(phases), ["stem", "layer1", "layer2", "head"], 5, blocks=blocks).phases
    assert first.blocks == {"layer1": [0, 0], "layer2": [0, 0, 0]}
    assert second.blocks == {"layer1": [0.1 / 32, 0.1 / 16], "layer2": [1 / 8, 1 / 4, 1 / 2]}
    assert second.factors == {"stem": 0, "layer1": 0.1 / 16, "layer2": 1 / 2, "head": 1}
    assert second.trained == ["layer1", "layer2", "head"]


class Blocks(LightningModule):
    """A stem, a layer of three blocks, a head; with dropout, and an optimizer of one group."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Linear(4, 5)
        self.layer = nn.Sequential(*(nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Dropout(0.2)) for _ in range(3)))
        self.head = nn.Linear(5, 1)
        self.rates: list[list[float]] = []

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"stem": [self.stem], "layer": [self.layer], "head": [self.head]}

    def blocks(self) -> dict[str, list[nn.Module]]:
        return {"layer": list(self.layer)}

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.head(self.layer(self.stem(batch))) - 1).square().mean()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), 0.01, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.rates.append([group["lr"] for group in optimizer.param_groups])


PLAN = [Phase(["head"], epochs=1), Phase(layer_decay=0.5, layer_decay_by="block")]


def fit(module: LightningModule, folder: Path, phases: list[Phase] = PLAN, resume: Path | None = None) -> Trainer:
    saving = ModelCheckpoint(folder, "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", logger=[MetricsCsv(folder / "metrics.csv")], log_every_n_steps=1,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        callbacks=[FineTuning(Tuning(phases, allow_untrained=True)), saving],
    )  # fmt: skip
    torch.manual_seed(2)
    images = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    trainer.fit(module, DataLoader(images, batch_size=4), ckpt_path=resume, weights_only=True)
    return trainer


def test_every_block_has_the_rate_of_its_place(tmp_path: Path) -> None:
    module = Blocks()
    trainer = fit(module, tmp_path)
    for step, rates in enumerate(module.rates):
        scheduled = 0.01 / (step + 1)
        factors = [1.0] if step < 2 else [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0]
        assert rates == pytest.approx([scheduled * factor for factor in factors], rel=1e-12)
    assert len(trainer.optimizers[0].param_groups) == 1
    names = (tmp_path / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {name for name in names if name.startswith("lr/")} == {"lr/stem", "lr/layer", "lr/head"}


def test_steps_are_those_of_an_optimizer_with_a_group_for_every_block(tmp_path: Path) -> None:
    class Grouped(Blocks):
        def configure_optimizers(self) -> Any:
            parts = [self.head, *reversed(self.layer), self.stem]
            groups = [{"params": list(part.parameters()), "lr": 0.01 / 2**up} for up, part in enumerate(parts)]
            return torch.optim.AdamW(groups, weight_decay=0.1)

    class Constant(Blocks):
        def configure_optimizers(self) -> Any:
            return super().configure_optimizers()["optimizer"]

    ours, theirs = Constant(), Grouped()
    fit(ours, tmp_path / "ours", PLAN[1:])
    fit(theirs, tmp_path / "theirs", [Phase()])
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("epoch", [0, 1])
def test_it_resumes_exactly(epoch: int, tmp_path: Path) -> None:
    whole, resumed = Blocks(), Blocks()
    first = fit(whole, tmp_path / "whole")
    again = fit(resumed, tmp_path / "resumed", resume=tmp_path / f"whole/epoch={epoch}.ckpt")
    assert resumed.rates == whole.rates[2 * (epoch + 1) :]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        state, expected = again.optimizers[0].state[other], first.optimizers[0].state[one]
        assert state.keys() == expected.keys() != set()
        assert all(torch.equal(state[key], value) for key, value in expected.items())


def test_the_table_shows_the_first_and_the_last_block() -> None:
    module = Blocks()
    plan = resolve(Tuning(PLAN), list(module.stages()), 3, blocks=module.blocks())
    assert [line.split("  ")[-1].strip() for line in table(plan, module.stages(), "train", 0.02).splitlines()[1:]] == [
        "lr 0.00125",
        "lr 0.0025 to 0.01",
        "lr 0.02",
    ]
    assert "lr x 0.125 to 0.5" in table(plan, module.stages(), "train")


def test_networks_without_blocks_and_wrong_blocks_are_refused(tmp_path: Path) -> None:
    class Fewer(Blocks):
        def blocks(self) -> dict[str, list[nn.Module]]:
            return {"layer": list(self.layer)[1:]}

    with pytest.raises(
        RecipeError, match=r"layer_decay_by is block, but this network lists no blocks; set it to stage"
    ):
        fit(nothing(), tmp_path)
    with pytest.raises(RecipeError, match=r"parameter '0.0.0.weight' is in no stage"):
        fit(Fewer(), tmp_path)


def nothing() -> LightningModule:
    module = Blocks()
    module.blocks = dict  # type: ignore[method-assign, assignment]
    return module


def test_a_single_block_per_stage_decays_by_stage() -> None:
    network = build(Backbone("resnet_tiny"), None, LinearHead, ["a", "b"])
    stages = network.stages()
    assert blocks_of(network, stages) == {}
    (phase,) = resolve(Tuning([BY_BLOCK]), list(stages), 1, blocks=blocks_of(network, stages)).phases
    assert math.isclose(phase.factors["stem"], 0.75**5)
