"""What Lightning's strategies do to a module, and which of them a plan does not support."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.plugins import TorchSyncBatchNorm
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy, Strategy
from ranks_probe import Plain, batch_of, conv_net, digest
from test_exactness import samples
from torch import nn
from torch.utils.data import DataLoader

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.callback import FineTuning, _check_strategy
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.resolve import resolve

THAWS = resolve(Tuning([Phase(["head"], epochs=1), Phase()]), ["stem", "head"], 2)
TRAINS = resolve(Tuning([Phase()]), ["stem", "head"], 2)


def trainer_with(strategy: Strategy) -> Any:
    return SimpleNamespace(strategy=strategy)


def test_fsdp_is_refused_where_a_plan_unfreezes() -> None:
    with pytest.raises(RecipeError, match="unfreezes stages, which FSDPStrategy does not support"):
        _check_strategy(trainer_with(FSDPStrategy()), THAWS)
    _check_strategy(trainer_with(DDPStrategy(parallel_devices=[torch.device("cpu")])), THAWS)


def test_synchronised_norms_need_a_gpu() -> None:
    strategy = DDPStrategy(parallel_devices=[torch.device("cpu")])
    strategy._layer_sync = TorchSyncBatchNorm()
    with pytest.raises(RecipeError, match=r"sync_batchnorm is true, but torch's SyncBatchNorm needs GPUs"):
        _check_strategy(trainer_with(strategy), TRAINS)


class Converting(SingleDeviceStrategy):
    """Replaces norms by synchronised ones, as Lightning does after the callbacks' setup."""

    def setup(self, trainer: Trainer) -> None:
        self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        super().setup(trainer)


def test_norms_replaced_by_a_strategy_are_frozen_too(tmp_path: Path) -> None:
    net, stages = conv_net()
    module, stages = Plain(net), {**stages, "stem": ["net.0.0", "net.0.1"]}
    plan = Tuning([Phase(["head"], epochs=1), Phase(["layer3", "head"])], allow_untrained=True)
    Trainer(
        max_epochs=2, strategy=Converting(device="cpu"), logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[FineTuning(plan, stages)],
        default_root_dir=tmp_path,
    ).fit(module, DataLoader(samples(8), 4, collate_fn=batch_of))  # fmt: skip
    assert isinstance(net[0][1], nn.SyncBatchNorm)
    before = digest([*net[:3].parameters(), *net[:3].buffers()])
    module.train()
    net[0](torch.randn(4, 3, 32, 32))
    assert digest([*net[:3].parameters(), *net[:3].buffers()]) == before
    assert [part.training for part in (net[0][1], net[1], net[2], net[3])] == [False, False, False, True]
    assert int(net[0][1].num_batches_tracked) == 0
    assert int(net[3][1].num_batches_tracked) == 2
