"""Scores equal a reference that is slow and plain: one image, one class, one threshold at a time."""

from __future__ import annotations

import copy
import math
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional import classification as peers

from resnet_tl.metrics.bootstrap import weighted_average_precision
from resnet_tl.metrics.classification import ClassificationMetrics

Drawn = tuple[Tensor, Tensor]


def names(count: int) -> list[str]:
    return [f"class {k}" for k in range(count)]


def measure(probabilities: Tensor, targets: Tensor, multi_label: bool = False, batch: int = 4) -> ClassificationMetrics:
    """Seen in batches, each ending in a filler that would spoil every score if it counted."""
    metrics = ClassificationMetrics(names(probabilities.shape[1]), multi_label)
    for p, t in zip(probabilities.split(batch), targets.split(batch), strict=True):
        filler, wrong = p[-1:].flip(1), -torch.ones_like(t[-1:]) if not multi_label else 1 - t[-1:]
        keep = torch.arange(len(p) + 1) < len(p)
        metrics.update(torch.cat([p, filler]), torch.cat([t, wrong]), keep)
    return metrics


@st.composite
def multi_class(draw: st.DrawFn) -> Drawn:
    """Few images, some classes without any; coarse probabilities, so that many are equal."""
    classes, images = draw(st.integers(2, 8)), draw(st.integers(1, 12))
    coarse = st.lists(st.integers(0, 3), min_size=classes, max_size=classes)
    logits = torch.tensor(draw(st.lists(coarse, min_size=images, max_size=images))).float()
    targets = draw(st.lists(st.integers(0, classes - 1), min_size=images, max_size=images))
    return logits.softmax(1), torch.tensor(targets)


@st.composite
def multi_label(draw: st.DrawFn) -> Drawn:
    classes, images = draw(st.integers(2, 5)), draw(st.integers(1, 12))

    def table(highest: int) -> Tensor:
        row = st.lists(st.integers(0, highest), min_size=classes, max_size=classes)
        return torch.tensor(draw(st.lists(row, min_size=images, max_size=images))).float()

    return table(8) / 8, table(1)


def f1_by_hand(said: list[bool], true: list[bool]) -> float | None:
    right = sum(s and t for s, t in zip(said, true, strict=True))
    return 2 * right / (sum(said) + sum(true)) if sum(said) + sum(true) else None


def mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


def multi_class_by_hand(probabilities: Tensor, targets: Tensor) -> dict[str, float]:
    rows, true = probabilities.numpy(), targets.tolist()
    classes, images = rows.shape[1], len(true)
    ranked = [sorted(range(classes), key=lambda k, row=row: (-row[k], k)) for row in rows]
    said = [order[0] for order in ranked]
    right = [s == t for s, t in zip(said, true, strict=True)]
    scores = {"acc": sum(right) / images}
    if classes > 5:
        scores["top5"] = sum(t in order[:5] for order, t in zip(ranked, true, strict=True)) / images
    scores["f1"] = mean([f1_by_hand([s == k for s in said], [t == k for t in true]) for k in range(classes)])
    confidence = [row[s] for row, s in zip(rows, said, strict=True)]
    scores["ece"] = 0.0
    for b in range(15):
        inside = [i for i, c in enumerate(confidence) if b < np.float32(c * np.float32(15)) <= b + 1]
        scores["ece"] += abs(sum(right[i] for i in inside) - sum(float(confidence[i]) for i in inside)) / images
    return scores


def average_precision_by_hand(scores: list[float], true: list[float]) -> float | None:
    """Lower the threshold over each distinct score: the step in recall times the precision there."""
    area, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = [t for s, t in zip(scores, true, strict=True) if s >= threshold]
        step = sum(taken) / sum(true) - recall if sum(true) else 0
        area, recall = area + step * sum(taken) / len(taken), recall + step
    return area if sum(true) else None


@settings(deadline=None, max_examples=150)
@given(multi_class())
def test_multi_class_scores_are_those_counted_by_hand(drawn: Drawn) -> None:
    assert measure(*drawn).compute() == pytest.approx(multi_class_by_hand(*drawn), abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(multi_class())
def test_confusion_and_per_class_ratios_are_those_counted_by_hand(drawn: Drawn) -> None:
    tables = measure(*drawn).tables()
    said, true = drawn[0].numpy().argmax(1).tolist(), drawn[1].tolist()
    classes = drawn[0].shape[1]
    pairs = list(zip(true, said, strict=True))
    assert tables["confusion"] == [[pairs.count((t, s)) for s in range(classes)] for t in range(classes)]
    for k, row in enumerate(tables["per_class"]):
        assert (row["class"], row["images"]) == (f"class {k}", true.count(k))
        assert row["recall"] == (pairs.count((k, k)) / true.count(k) if k in true else None)
        assert row["precision"] == (pairs.count((k, k)) / said.count(k) if k in said else None)
        assert row["f1"] == pytest.approx(f1_by_hand([s == k for s in said], [t == k for t in true]))


@settings(deadline=None, max_examples=150)
@given(multi_label(), st.floats(0, 1, width=32))
def test_multi_label_scores_are_those_counted_by_hand(drawn: Drawn, threshold: float) -> None:
    probabilities, targets = drawn
    classes = probabilities.shape[1]
    metrics = measure(probabilities, targets, multi_label=True)
    thresholds = torch.linspace(threshold, 1, classes)
    rows = metrics.tables(thresholds)["per_class"]
    for k, row in enumerate(rows):
        scores, true = probabilities[:, k].tolist(), targets[:, k].tolist()
        assert row["ap"] == pytest.approx(average_precision_by_hand(scores, true), abs=1e-6)
        assert row["f1"] == pytest.approx(f1_by_hand([s >= thresholds[k] for s in scores], [t == 1 for t in true]))
        assert row["images"] == sum(true)
    for score, column in (("map", "ap"), ("f1", "f1")):
        known = [row[column] for row in rows if row[column] is not None]
        expected = sum(known) / len(known) if known else math.nan
        assert metrics.compute(thresholds)[score] == pytest.approx(expected, nan_ok=True)


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
    said, true = torch.rand(200, 6), (torch.rand(200, 6) < 0.3).long()
    scores = measure(said, true.float(), multi_label=True, batch=64).compute()
    assert scores["map"] == pytest.approx(float(peers.multilabel_average_precision(said, true, 6)), abs=1e-6)
    assert scores["f1"] == pytest.approx(float(peers.multilabel_f1_score(said, true, 6)), abs=1e-6)


def test_of_equal_probabilities_the_lower_class_comes_first() -> None:
    even = torch.full((7, 7), 1 / 7)
    scores = measure(even, torch.arange(7)).compute()
    assert scores["acc"] == pytest.approx(1 / 7)
    assert scores["top5"] == pytest.approx(5 / 7)


def test_certainty_falls_into_the_last_bin() -> None:
    sure = torch.eye(3)[[0, 0, 0, 0]]
    assert measure(sure, torch.tensor([0, 0, 0, 1])).compute()["ece"] == pytest.approx(0.25)


def test_a_class_nobody_saw_or_said_is_left_out_of_the_mean() -> None:
    metrics = measure(torch.eye(3)[[0, 1]], torch.tensor([0, 1]))
    assert metrics.compute()["f1"] == 1
    absent = metrics.tables()["per_class"][2]
    assert absent == {"class": "class 2", "images": 0, "precision": None, "recall": None, "f1": None}


def test_labels_that_never_occur_leave_nothing_to_average() -> None:
    metrics = measure(torch.full((3, 2), 0.1), torch.zeros(3, 2), multi_label=True)
    assert all(math.isnan(value) for value in (*metrics.compute().values(), *metrics.interval()))


def test_reset_forgets() -> None:
    metrics = measure(torch.eye(3), torch.tensor([1, 2, 0]))
    assert metrics.compute()["acc"] == 0
    metrics.reset()
    metrics.update(torch.eye(3), torch.tensor([0, 1, 2]), torch.tensor([True, True, True]))
    assert metrics.compute()["acc"] == 1


@pytest.mark.parametrize("multi_label", [False, True])
def test_metrics_leave_the_state_dict_alone_and_copy(multi_label: bool) -> None:
    """A pass inside inference mode may be followed by one outside."""
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
def test_an_update_never_waits_for_the_device(multi_label: bool) -> None:
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


@settings(deadline=None, max_examples=60)
@given(multi_label(), st.integers(0, 2**31))
def test_resampled_average_precision_is_that_of_the_images_written_out(drawn: Drawn, seed: int) -> None:
    scores, true = drawn[0][:, 0].numpy(), drawn[1][:, 0].bool().numpy()
    assume(true.any())
    images = len(true)
    counts = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), 3).T.astype(np.int32)
    found = weighted_average_precision(scores, true, counts)
    for value, count in zip(found, counts.T, strict=True):
        expected = average_precision_by_hand(scores.repeat(count).tolist(), true.repeat(count).tolist())
        assert value == pytest.approx(math.nan if expected is None else expected, nan_ok=True)


def test_the_accuracy_interval_is_the_bootstrap_written_out() -> None:
    right = np.arange(200) < 150
    metrics = measure(torch.eye(2)[[0] * 200], torch.tensor((~right).astype(int)))
    low, high = metrics.interval()
    drawn = np.random.default_rng(7).choice(right, (4000, 200)).mean(1)
    assert (low, high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.01)
    assert metrics.interval() == (low, high)


def test_the_map_interval_covers_the_truth_as_often_as_it_says() -> None:
    """95 % of 60 sets drawn from one source; that fewer than 50 of 60 cover it has a chance below 1 in 10,000."""
    generator = torch.Generator().manual_seed(0)

    def draw(images: int) -> Drawn:
        true = (torch.rand(images, 2, generator=generator) < 0.4).float()
        return (true + 1.2 * torch.randn(images, 2, generator=generator)).sigmoid(), true

    truth = measure(*draw(100_000), multi_label=True, batch=100_000).compute()["map"]
    covered = 0
    for _ in range(60):
        low, high = measure(*draw(150), multi_label=True, batch=150).interval()
        covered += low <= truth <= high
    assert covered >= 50


def shard(rank: int, multi_label: bool) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Batches of rank 0 (7 images, 1 filler) and of rank 1 (an image and fillers only)."""
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


def test_two_processes_score_as_one_does(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(worker, (port, str(tmp_path)), nprocs=2)
    alone = [scores_of((0, 1), multi_label) for multi_label in (False, True)]
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt", weights_only=True) == alone
