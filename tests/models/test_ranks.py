from __future__ import annotations

import socket
from pathlib import Path

import torch

from resnet_tl.models.ranks import local_counts, mean_over_ranks


def worker(rank: int, port: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    count = torch.tensor([3.0, 0.0]) if rank == 0 else torch.tensor([1.0, 5.0])
    mean = mean_over_ranks(count)
    if rank == 0:  # would wait for the other rank forever if it communicated
        with local_counts():
            assert torch.equal(mean_over_ranks(count), count)
    torch.save([mean, mean_over_ranks(count), count], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_every_rank_gets_the_mean_of_counts_and_keeps_its_own(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(worker, (port, str(tmp_path)), nprocs=2)
    for rank, count in ((0, [3, 0]), (1, [1, 5])):
        mean, again, own = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert mean.tolist() == again.tolist() == [2, 2.5]
        assert own.tolist() == count


def test_a_single_process_counts_for_itself_without_gradient() -> None:
    count = torch.tensor(4.0, requires_grad=True)
    assert mean_over_ranks(count) == 4
    assert not mean_over_ranks(count).requires_grad
