"""Several ranks have equal weights, and those of one rank with the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import memory_probe
import pytest
import ranks_probe as probe
import torch

Launch = Callable[..., list[dict[str, Any]]]


def check(case: Any, found: list[dict[str, Any]], folder: Path) -> None:
    """Ranks differ by 0.0; with fixed norms in fp64 they equal a single rank up to rounding."""
    first = found[0][case.name]
    assert [where for where, _ in first["seen"]].count("validation") == 3
    assert len(first["seen"]) == 3 * (1 + probe.COUNT // probe.GLOBAL_BATCH)
    for other in found[1:]:
        assert other[case.name]["seen"] == first["seen"]
    assert set(first["wrappers"]) == {1}, "a wrapper that was replaced is gone, with its hooks"
    assert first["warnings"] == []
    drawn = case.network == "regions"  # regions to learn from, by each process for itself
    if case.norm == "frozen" and case.precision == "64-true" and not drawn:
        shared = torch.load(folder / f"{case.name}.pt")
        probe.fit(case, 1, 0, folder)
        alone = torch.load(folder / f"{case.name}.pt")
        apart = {key: float((shared[key] - alone[key]).abs().max()) for key in alone}
        assert max(apart.values()) <= 1e-9, apart


EXACT = {"norm": "frozen", "precision": "64-true"}


def test_two_ranks_are_one(launch: Launch, tmp_path: Path) -> None:
    probe.draw_images(tmp_path)
    cases = [probe.Case("ours", ema=0.9), *(probe.Case(network, **EXACT) for network in ("ours", "masks", "objects"))]
    found = launch(2, *cases, "cache", "solved")
    for case in cases:
        check(case, found, tmp_path)
    check_cached([rank["cache"] for rank in found], tmp_path)
    check_solved([rank["solved"] for rank in found], tmp_path)
    assert [rank["mean count"] for rank in found] == [[0.5, 2.0]] * 2
    alone = probe.recalibrated(range(2))
    for rank in found:
        assert rank["recalibrated"]["mean"] == pytest.approx(alone["mean"], rel=1e-6)
        assert rank["recalibrated"]["variance"] == pytest.approx(alone["variance"], rel=1e-6)


@pytest.mark.slow
def test_how_gradients_are_exchanged_changes_nothing(launch: Launch, tmp_path: Path) -> None:
    first, *ways = (probe.Case("ours", ema=0.9, **way) for way in ({}, {"ddp": "plain"}, {"ddp": "static"}))
    cases = [first, *ways, probe.Case("regions", ddp="static"), probe.Case(accumulate=2, ddp="static", **EXACT)]
    found = launch(2, *cases)
    for case in cases:
        check(case, found, tmp_path)
    wrapped = [found[0][case.name]["ddp"].removeprefix("2 ranks by DDP ") for case in (first, *cases[-2:])]
    assert wrapped == [
        "(bucket views, no static graph)", "(bucket views, static graph)", "(bucket views, no static graph)",
    ]  # fmt: skip
    for way in ways:
        assert found[0][way.name]["seen"] == found[0][first.name]["seen"], "views and static graph change nothing"


def check_cached(found: list[dict[str, Any]], folder: Path) -> None:
    """One rank writes, all read, each its own images; afterwards they are equal."""
    first, second = found
    assert len(set(first["written"])) == 4  # training and validation images, in either phase
    assert second["written"] == []
    assert sorted(path.name for path in (folder / "cache").glob("*.features")) == sorted(first["written"])
    assert (first["weights"], first["loss"]) == (second["weights"], second["loss"])
    cached = [[indices for indices, is_cached in rank["seen"] if is_cached] for rank in found]
    assert [len(batches) for batches in cached] == [12, 12]
    for epoch in range(4):
        epochs = [index for batches in cached for indices in batches[3 * epoch : 3 * epoch + 3] for index in indices]
        assert sorted(epochs) == list(range(probe.COUNT // 2))


def check_solved(found: list[dict[str, Any]], folder: Path) -> None:
    """Ranks are equal after every step, and one alone finds the same head on all images."""
    first, second = found
    assert first == second
    alone = probe.solved(1, 0, folder)
    assert alone["solved"] == pytest.approx(first["solved"])
    assert [where for where, _ in first["seen"]].count("validation") == 2
    epoch = len(first["seen"]) // 2
    assert first["seen"][:epoch] == [list(each) for each in alone["seen"][:epoch]], "its steps move nothing"


def test_some_rank_has_no_positive_target_at_some_step() -> None:
    positives = [[bool(batch.targets.any()) for batch in probe.loaders(2, rank)[0]] for rank in range(2)]
    assert any(one != other for one, other in zip(*positives, strict=True))


def check_split_together(cases: list[memory_probe.Case], found: list[dict[str, Any]], folder: Path) -> None:
    """`cases`: a run with batches of half the size, accumulated, then those where memory is full on rank 1, in a step
    or in the search before the first."""
    (expected, *splits), (first, second) = cases, found
    weights = [torch.load(folder / f"{number}.pt") for number in range(len(cases))]
    for number, case in enumerate(splits, 1):
        here, there = first[case.name], second[case.name]
        assert (here["failures"], there["failures"]) == (0, 1)
        assert here["sizes"] == there["sizes"] == [2] * 9
        assert here["digest"] == there["digest"]
        for ours, started in ((here, first[expected.name]), (there, second[expected.name])):
            assert (ours["steps"], ours["rates"]) == (started["steps"], started["rates"])
        apart = {key: float((value - weights[number][key]).abs().max()) for key, value in weights[0].items()}
        assert max(apart.values()) <= 1e-9, apart


def split_cases(network: str) -> list[memory_probe.Case]:
    """The third step of an epoch exchanges gradients in its backward pass, the first two after it."""
    full = memory_probe.Case(network, batch=4, limit=2, full=1)
    started = memory_probe.Case(network, batch=2, accumulate=2)
    return [started, full, replace(full, fails="backward"), replace(full, auto=True)]


def test_ranks_split_their_batches_together_where_one_runs_out_of_memory(launch: Launch, tmp_path: Path) -> None:
    cases = split_cases("masks")
    check_split_together(cases, launch(2, *cases, program=memory_probe.__file__), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("network", ["ours", "objects"])
def test_ranks_split_their_batches_together_for_any_network(network: str, launch: Launch, tmp_path: Path) -> None:
    cases = split_cases(network)
    check_split_together(cases, launch(2, *cases, program=memory_probe.__file__), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_ranks_that_compile_are_one(launch: Launch, tmp_path: Path) -> None:
    cases = [probe.Case(f"compiled {network}", **EXACT) for network in ("ours", "masks", "objects")]
    found = launch(2, *cases)
    for case in cases:
        check(case, found, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "network", ["ours", "checkpointed", "numbers", "masks", "objects", "regions", "timm", "convnet"]
)
@pytest.mark.parametrize("ranks", [2, 3])
def test_several_ranks_are_one_for_any_network(ranks: int, network: str, launch: Launch, tmp_path: Path) -> None:
    options = ({"ema": 0.9}, EXACT, {**EXACT, "ddp": "static", "ema": 0.5}, {"precision": "bf16-mixed"})
    cases = [probe.Case(network, **option) for option in options]
    found = launch(ranks, *cases)
    for case in cases:
        check(case, found, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("ranks", [2, 3])
def test_every_image_is_evaluated_and_predicted_once(ranks: int, launch: Launch, tmp_path: Path) -> None:
    alone = probe.evaluate(1, 0, tmp_path)
    found = [rank["evaluate"] for rank in launch(ranks, "evaluate")]
    for name, one in alone.items():
        assert sorted(index for rank in found for index in rank[name]["predicted"]) == sorted(one["predicted"])
        assert sorted(one["predicted"]) == list(range(int(name.split()[1])))
        for rank in found:
            assert rank[name]["scores"] == pytest.approx(one["scores"], rel=1e-6, abs=1e-6, nan_ok=True)
            exact = {score: value for score, value in one["scores"].items() if "loss" not in score}
            assert {score: rank[name]["scores"][score] for score in exact} == pytest.approx(exact, abs=0, nan_ok=True)
