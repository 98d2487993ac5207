"""Which unlabelled images are beside a batch."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from resnet_tl.data.images.companions import OWN_SEED, UnlabelledCompanions
from resnet_tl.data.loading.samplers import TrainSampler
from resnet_tl.structures.records import Draw


class Unlabelled(SimpleNamespace):
    def __len__(self) -> int:
        return cast(int, self.count)


def companions(count: int, labelled: int, share: float = 1.0, seed: int = 5) -> UnlabelledCompanions:
    images: Any = Unlabelled(count=count)
    return UnlabelledCompanions(images, labelled, share, seed)


def drawn(chosen: UnlabelledCompanions, epoch: int, batch: int = 4, ranks: int = 1, rank: int = 0) -> list[list[Draw]]:
    sampler = TrainSampler(chosen.labelled, seed=1, batch_size=batch, ranks=ranks, rank=rank)
    sampler.set_epoch(epoch)
    draws = list(sampler)
    return [chosen.draws(draws[start : start + batch]) for start in range(0, len(draws), batch)]


@pytest.mark.parametrize(("count", "labelled", "share"), [(7, 12, 1.0), (30, 12, 1.0), (11, 12, 2.0), (12, 12, 3.0)])
def test_over_the_epochs_all_are_drawn_equally_often(count: int, labelled: int, share: float) -> None:
    chosen = companions(count, labelled, share)
    every = [draw for epoch in range(count) for batch in drawn(chosen, epoch) for draw in batch]
    assert len(every) == count * labelled * share
    assert set(Counter(draw.index for draw in every).values()) == {labelled * share}
    assert len(set(every)) == len(every)  # no image is augmented in the same way twice


@pytest.mark.parametrize(("share", "number"), [(0.1, 1), (0.5, 2), (1.0, 4), (1.5, 6), (2.0, 8)])
def test_the_share_is_of_each_batch(share: float, number: int) -> None:
    assert {len(batch) for batch in drawn(companions(9, 12, share), 0)} == {number}


@pytest.mark.parametrize("share", [0.5, 1.0, 2.0])
def test_ranks_draw_together_what_one_draws(share: float) -> None:
    chosen = companions(9, 16, share)
    alone = drawn(chosen, 3, batch=8)
    both = [drawn(chosen, 3, batch=4, ranks=2, rank=rank) for rank in (0, 1)]
    assert [sorted(batch) for batch in alone] == [sorted(one + two) for one, two in zip(*both, strict=True)]


def test_another_object_draws_the_same_from_any_batch_on() -> None:
    first, again = companions(9, 12), companions(9, 12)
    assert drawn(first, 5) == drawn(again, 5)
    draws = [Draw(5, 3), Draw(5, 11)]
    assert again.draws(draws) == first.draws(draws)
    assert first.images.seed == 5 + OWN_SEED
    assert drawn(first, 5) != drawn(companions(9, 12, seed=6), 5)


def test_an_image_that_is_repeated_gets_other_companions() -> None:
    chosen = companions(9, 12)
    assert len({draw.index for draw in chosen.draws([Draw(0, 2, repeat) for repeat in range(3)])}) > 1
