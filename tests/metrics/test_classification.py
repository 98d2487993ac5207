"""Classification metrics equal torchmetrics', on one rank and on two."""

from __future__ import annotations

import copy
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchmetrics.functional import classification as peers

from resnet_tl.metrics.classification import ClassificationMetrics
from tests.metrics.by_hand import measure, names


def test_scores_equal_torchmetrics() -> None:
    torch.manual_seed(0)
    probabilities, targets = (2 * torch.randn(300, 12)).softmax(1), torch.randint(11, (300,))  # the last never occurs
    scores = measure(probabilities, targets, batch=64).compute()
    assert scores == pytest.approx(
        {
            "acc": float(peers.multiclass_accuracy(probabilities, targets, 12, average="micro")),
            "top5": float(peers.multiclass_accuracy(probabilities, targets, 12, average="micro", top_k=5)),
            "f1": float(peers.multiclass_f1_score(probabilities, targets, 12)),
            "ece": float(peers.multiclass_calibration_error(probabilities, targets, 12, n_bins=15)),
        },
        abs=1e-6,
    )
    predicted, targets = torch.rand(200, 6), (torch.rand(200, 6) < 0.3).long()
    scores = measure(predicted, targets.float(), multi_label=True, batch=64).compute()
    assert scores["map"] == pytest.approx(float(peers.multilabel_average_precision(predicted, targets, 6)), abs=1e-6)
    assert scores["f1"] == pytest.approx(float(peers.multilabel_f1_score(predicted, targets, 6)), abs=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_means_exclude_absent_classes_even_where_they_are_predicted(multi_label: bool) -> None:
    probabilities, targets = torch.eye(3), torch.tensor([0, 1, 1])
    targets = torch.eye(3)[targets] if multi_label else targets
    metrics = measure(probabilities, targets, multi_label=multi_label)
    before = metrics.compute()
    metrics.absent = [2]
    assert before["f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert metrics.compute() == {**before, "f1": pytest.approx((1 + 2 / 3) / 2)}


def test_reset_clears_the_counts() -> None:
    metrics = measure(torch.eye(3), torch.tensor([1, 2, 0]))
    assert metrics.compute()["acc"] == 0
    metrics.reset()
    metrics.update(torch.eye(3), torch.tensor([0, 1, 2]), torch.tensor([True, True, True]))
    assert metrics.compute()["acc"] == 1


@pytest.mark.parametrize("multi_label", [False, True])
def test_metrics_add_nothing_to_the_state_dict_and_can_be_copied(multi_label: bool) -> None:
    """A pass in inference mode may be followed by one outside it."""
    metrics = ClassificationMetrics(names(3), multi_label)
    targets = torch.eye(3) if multi_label else torch.arange(3)
    with torch.inference_mode():
        metrics.update(torch.eye(3), targets, torch.ones(3, dtype=torch.bool))
        metrics.reset()
    metrics.update(torch.eye(3), targets, torch.ones(3, dtype=torch.bool))
    assert metrics.state_dict() == {}
    assert copy.deepcopy(metrics).compute() == metrics.compute()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("multi_label", [False, True])
def test_an_update_never_synchronises_with_the_device(multi_label: bool) -> None:
    metrics = ClassificationMetrics(names(8), multi_label).cuda()
    targets = torch.eye(8).cuda() if multi_label else torch.arange(8).cuda()
    probabilities, keep = torch.eye(8).cuda(), torch.ones(8, dtype=torch.bool).cuda()
    metrics.update(probabilities, targets, keep)
    torch.cuda.set_sync_debug_mode("error")
    try:
        metrics.update(probabilities, targets, keep)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert metrics.compute()[metrics.headline] == 1


def shard(rank: int, multi_label: bool) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Returns the batches of rank 0 (7 images, 1 filler) or of rank 1 (one image, the rest fillers)."""
    torch.manual_seed(rank)
    batches = []
    for kept in ((4, 3), (1, 0))[rank]:
        targets = (torch.rand(4, 6) < 0.4).float() if multi_label else torch.randint(6, (4,))
        batches.append((torch.rand(4, 6).softmax(1), targets, torch.arange(4) < kept))
    return batches


def scores_of(ranks: tuple[int, ...], multi_label: bool) -> dict[str, Any]:
    metrics = ClassificationMetrics(names(6), multi_label)
    for batch in (batch for rank in ranks for batch in shard(rank, multi_label)):
        metrics.update(*batch)
    return {"scores": metrics.compute(), "tables": metrics.tables(), "interval": metrics.interval()}


def worker(rank: int, port: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.save([scores_of((rank,), multi_label) for multi_label in (False, True)], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_ranks_score_as_one_process(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(worker, (port, str(tmp_path)), nprocs=2)
    single = [scores_of((0, 1), multi_label) for multi_label in (False, True)]
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt", weights_only=True) == single
