"""Orders of draws: pure in (seed, epoch), disjoint over ranks, as even as promised."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.loading.samplers import EvaluationSampler, TrainSampler, class_weights
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Draw


def batches(sampler: TrainSampler) -> list[list[Draw]]:
    draws = list(sampler)
    return [draws[i : i + sampler.batch_size] for i in range(0, len(draws), sampler.batch_size)]


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 7), st.integers(0, 5))
def test_ranks_share_one_order(count: int, ranks: int, batch_size: int, epoch: int) -> None:
    if count < ranks:
        return
    samplers = [TrainSampler(count, seed=3, batch_size=batch_size, ranks=ranks, rank=rank) for rank in range(ranks)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    drawn = [list(sampler) for sampler in samplers]
    assert [len(draws) for draws in drawn] == [len(sampler) for sampler in samplers] == [len(samplers[0])] * ranks
    indices = [draw.index for draws in drawn for draw in draws]
    assert len(set(indices)) == len(indices)
    assert count - len(indices) < 2 * ranks
    assert {draw.epoch for draws in drawn for draw in draws} == {epoch}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weights": np.arange(1, 49)},
        {"groups": np.arange(48) // 13},
        {"repeats": 3},
        {"weights": np.arange(1, 49), "groups": np.arange(48) // 13, "repeats": 2},
    ],
)
def test_a_step_sees_the_same_images_on_any_number_of_ranks(options: dict[str, Any]) -> None:
    steps = {}
    for ranks in (1, 2, 4):
        per_rank = [
            batches(TrainSampler(48, seed=1, batch_size=8 // ranks, ranks=ranks, rank=rank, **options))
            for rank in range(ranks)
        ]
        steps[ranks] = [sorted(chain(*step)) for step in zip(*per_rank, strict=True)]
    assert steps[1] == steps[2] == steps[4]


def test_every_epoch_and_seed_has_its_own_reproducible_order() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = TrainSampler(50, seed=seed, batch_size=8)
        sampler.set_epoch(epoch)
        return [draw.index for draw in sampler]

    orders = [order(seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len(set(map(tuple, orders))) == 6
    assert orders[4] == order(1, 1)
    assert sorted(orders[0]) == list(range(50))


@pytest.mark.parametrize(
    ("count", "batch_size", "drawn"), [(17, 8, 16), (18, 8, 18), (16, 8, 16), (3, 1, 3), (1, 8, 1)]
)
def test_a_last_batch_of_one_is_dropped(count: int, batch_size: int, drawn: int) -> None:
    assert len(list(TrainSampler(count, seed=0, batch_size=batch_size))) == drawn


def test_fewer_images_than_devices_are_an_error() -> None:
    with pytest.raises(DataError, match="3 training images are too few for 4 devices"):
        TrainSampler(3, seed=0, batch_size=1, ranks=4)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=70), st.integers(1, 8), st.integers(0, 9))
def test_grouped_steps_are_of_one_group_except_for_the_rest(groups: list[int], batch_size: int, epoch: int) -> None:
    sampler = TrainSampler(len(groups), seed=0, batch_size=batch_size, groups=np.array(groups))
    sampler.set_epoch(epoch)
    drawn = batches(sampler)
    indices = [draw.index for batch in drawn for draw in batch]
    assert len(set(indices)) == len(indices) == len(sampler)
    several = [batch for batch in drawn if len({groups[draw.index] for draw in batch}) > 1]
    counts = Counter(groups)
    left = sum(count % batch_size for count in counts.values())
    assert len(several) <= -(-left // batch_size)
    alone = Counter(groups[batch[0].index] for batch in drawn if batch not in several and len(batch) == batch_size)
    assert all(alone[group] >= count // batch_size for group, count in counts.items())


def test_grouped_steps_come_in_a_new_order_in_every_epoch() -> None:
    sampler = TrainSampler(60, seed=0, batch_size=4, groups=np.arange(60) // 31)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append([batch[0].index // 31 for batch in batches(sampler)])
    assert len(set(map(tuple, orders))) == 3
    lasts = set()
    for epoch in range(40):
        sampler.set_epoch(epoch)
        lasts.add(batches(sampler)[-1][-1].index // 31)
    assert lasts == {0, 1}, "no group is always left for the last step"


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=30), st.integers(0, 9))
def test_weighted_draws_are_the_share_rounded_up_or_down(weights: list[float], epoch: int) -> None:
    sampler = TrainSampler(len(weights), seed=0, batch_size=1, weights=np.array(weights))
    sampler.set_epoch(epoch)
    draws = list(sampler)
    share = np.array(weights) / sum(weights) * len(weights)
    times = np.bincount([draw.index for draw in draws], minlength=len(weights))
    assert len(draws) == len(weights)
    assert (np.abs(times - share) < 1 + 1e-6).all()
    assert sorted((draw.index, draw.repeat) for draw in draws) == [
        (i, k) for i, n in enumerate(times) for k in range(n)
    ]


def test_balanced_classes_are_drawn_equally_often_and_every_image_in_turn() -> None:
    classes = np.repeat([0, 1, 2], [5, 45, 250])
    sampler = TrainSampler(300, seed=0, batch_size=8, weights=1 / np.bincount(classes)[classes])
    seen: Counter[int] = Counter()
    for epoch in range(20):
        sampler.set_epoch(epoch)
        indices = [draw.index for draw in sampler]
        assert np.abs(np.bincount(classes[indices]) - 100).max() <= 1
        seen.update(indices)
    assert len(seen) == 300
    assert indices != sorted(indices)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 4), st.integers(2, 5), st.integers(1, 9), st.integers(0, 9))
def test_repeats_are_next_to_each_other_and_an_epoch_keeps_its_length(
    count: int, ranks: int, repeats: int, batch_size: int, epoch: int
) -> None:
    if count < ranks:
        return
    options: dict[str, Any] = {"seed": 3, "batch_size": batch_size, "ranks": ranks}
    drawn = []
    for rank in range(ranks):
        sampler = TrainSampler(count, rank=rank, repeats=repeats, **options)
        sampler.set_epoch(epoch)
        drawn.append(list(sampler))
        assert len(drawn[-1]) == len(sampler) == len(TrainSampler(count, rank=rank, **options))
    order = list(chain(*zip(*drawn, strict=True)))
    assert [draw.repeat for draw in order] == [place % repeats for place in range(len(order))]
    for place, draw in enumerate(order):
        assert draw.index == order[place - draw.repeat].index
    distinct = [draw.index for draw in order[::repeats]]
    assert len(set(distinct)) == len(distinct) == -(-len(order) // repeats)


@pytest.mark.parametrize("count", [12, 13, 14])
def test_as_many_epochs_as_repeats_show_every_image(count: int) -> None:
    sampler = TrainSampler(count, seed=0, batch_size=1, repeats=3)
    cycles = []
    for cycle in range(3):
        seen = []
        for epoch in range(3 * cycle, 3 * cycle + 3):
            sampler.set_epoch(epoch)
            seen.append([draw.index for draw in sampler])
        assert set(chain(*seen)) == set(range(count))
        cycles.append(tuple(chain(*seen)))
    assert len(set(cycles)) == 3


def test_repeated_images_keep_to_their_group_and_weight() -> None:
    groups, weights = np.arange(240) // 100, np.where(np.arange(240) < 40, 5.0, 1.0)
    sampler = TrainSampler(240, seed=0, batch_size=12, repeats=3, groups=groups, weights=weights)
    heavy, several, whole = 0, 0, 0
    for epoch in range(30):
        sampler.set_epoch(epoch)
        for batch in batches(sampler):
            whole += sum(times % 3 == 0 for times in Counter(draw.index for draw in batch).values())
            several += len({groups[draw.index] for draw in batch}) > 1
            heavy += sum(draw.index < 40 for draw in batch)
    assert several <= 3 * 30
    assert whole > 65 * 30, "of 80, or fewer where one is drawn by its weight six times"
    assert heavy / (240 * 30) == pytest.approx(0.5, abs=0.02)


def test_evaluation_in_another_order_counts_every_sample_once() -> None:
    order = np.array([3, 0, 4, 1, 2])
    draws = [list(EvaluationSampler(5, ranks=2, rank=rank, order=order)) for rank in range(2)]
    assert [draw.index for draw in draws[0]] == [3, 4, 2]
    assert [draw.index for draw in draws[1]] == [0, 1, -1]


def test_class_weights_give_every_class_the_same_total() -> None:
    one_each = class_weights(Listing.of("", list("abcd"), [0, 2, 2, 2]), 3)
    assert one_each.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3])
    several = class_weights(Listing.of("", list("abcde"), [(0,), (0, 1), (0,), (), ()]), 2)
    assert several.tolist() == pytest.approx([1 / 3, 1, 1 / 3, 1 / 2, 1 / 2])


def test_the_start_skips_batches_that_were_trained_on() -> None:
    for ranks in (1, 2):
        sampler = TrainSampler(50, seed=0, batch_size=8, ranks=ranks, rank=ranks - 1)
        whole = batches(sampler)
        sampler.start = 2
        assert batches(sampler) == whole[2:]
        sampler.set_epoch(0)
        assert batches(sampler) == whole[2:]
        sampler.set_epoch(1)
        assert len(batches(sampler)) == len(whole)


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(1, 5))
def test_evaluation_counts_every_sample_once(count: int, ranks: int) -> None:
    samplers = [EvaluationSampler(count, ranks=ranks, rank=rank) for rank in range(ranks)]
    drawn = [list(sampler) for sampler in samplers]
    assert {len(draws) for draws in drawn} == {len(samplers[0])}
    assert len(samplers[0]) >= 1
    indices = [draw.index for draws in drawn for draw in draws if draw.index >= 0]
    assert sorted(indices) == list(range(count))
    assert sum(len(draws) for draws in drawn) - count <= ranks - (count > 0)
