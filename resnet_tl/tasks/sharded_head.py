"""`trainer.strategy: fsdp2`: each rank stores a share of a classifier's head, by torch's `fully_shard` (FSDP2).

A trunk is small (100 MB for a ResNet-50) and stays under DistributedDataParallel: whole on each rank, so that phases,
the frozen prefix and cached features are what they are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from resnet_tl.tensor_file import load_safely
from resnet_tl.tuning.ranks import broadcast, gather_rows


class ShardedHead(DDPStrategy):
    """Shards the weights of `network.head`, their gradients and the optimizer's state by rows.

    Weights and gradients are whole while the head computes. A checkpoint is the one file that every run has, with whole
    tensors: rank 0 gathers them in its machine's memory. A run resumes from it on any number of ranks.
    """

    def configure_ddp(self) -> None:
        """Shards the head, at the first call, and wraps the rest, where anything of it is trained."""
        module: Any = self.lightning_module
        head: nn.Module = module.network.head
        if not isinstance(head, FSDPModule):
            _shard(head, init_device_mesh(self.root_device.type, (self.world_size,)))
        of_head = set(head.parameters())
        names = [name for name, parameter in module.named_parameters() if parameter in of_head]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, names)
        if any(parameter.requires_grad for parameter in set(module.parameters()) - of_head):
            super().configure_ddp()

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return tree_map_only(DTensor, _whole, super().lightning_module_state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return tree_map_only(DTensor, _whole, super().optimizer_state(optimizer))

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        return load_safely(Path(checkpoint_path), mmap=True)  # each rank reads its rows

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        states = [_shares(*pair) for pair in zip(checkpoint["optimizer_states"], self.optimizers, strict=True)]
        super().load_optimizer_state_dict({**checkpoint, "optimizer_states": states})

    def clip_gradients(self, optimizer: Optimizer, largest: float | None, algorithm: str | None) -> None:
        """Clips gradients by their norm over all parameters, or by value: Lightning's way, for sharded ones among them.

        Args:
            largest: the norm or value; None or 0: no clipping.
            algorithm: `norm`, which None stands for, or `value`.
        """
        if not largest:
            return
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        rows = [gradient.to_local() for gradient in gradients if isinstance(gradient, DTensor)]
        others = [gradient for gradient in gradients if not isinstance(gradient, DTensor)]
        if algorithm == "value":
            torch._foreach_clamp_min_([*rows, *others], -largest)
            torch._foreach_clamp_max_([*rows, *others], largest)
            return
        squares = nn.utils.get_total_norm(rows).square()
        dist.all_reduce(squares)
        norm = (squares + nn.utils.get_total_norm(others).square()).sqrt()
        torch._foreach_mul_([*rows, *others], (largest / (norm + 1e-6)).clamp(max=1.0))


def _shard(head: nn.Module, mesh: DeviceMesh) -> None:
    broadcast(head.parameters())  # as DistributedDataParallel does with what it wraps
    # Whole from forward to backward, between which nothing else needs memory that would be worth a second exchange.
    fully_shard(head, mesh=mesh, reshard_after_forward=False)
    head.register_forward_hook(_shard_again)


def _shard_again(head: nn.Module, *_: Any) -> None:
    if not torch.is_grad_enabled():  # no backward pass follows, which would end with this
        assert isinstance(head, FSDPModule)
        head.reshard()


def _whole(tensor: DTensor) -> Tensor | None:
    return gather_rows(tensor.to_local(), tensor.shape)


def _shares(whole: dict[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """Returns an optimizer's whole state with this rank's rows of what belongs to sharded parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {
        number: {name: _share(value, parameters[number]) for name, value in values.items()}
        for number, values in whole["state"].items()
    }
    return {**whole, "state": state}


def _share(value: Any, parameter: Tensor) -> Any:
    if not (isinstance(parameter, DTensor) and isinstance(value, Tensor) and value.shape == parameter.shape):
        return value  # a counter, or of the trunk
    mesh = parameter.device_mesh
    parts = value.chunk(mesh.size())
    rows = parts[mesh.get_local_rank()] if mesh.get_local_rank() < len(parts) else value[:0]
    rows = rows.to(parameter.device, copy=True)
    return DTensor.from_local(rows, mesh, parameter.placements, shape=value.shape, stride=value.stride())
