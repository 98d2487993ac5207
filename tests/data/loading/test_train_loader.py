"""Training loaders that resume in the middle of an epoch."""

from __future__ import annotations

import pytest

from resnet_tl.data.loading.samplers import TrainSampler
from resnet_tl.data.loading.train_loader import TrainLoader
from resnet_tl.structures.records import Draw


class Draws:
    """A dataset whose items are the draws."""

    def __getitem__(self, draw: Draw) -> Draw:
        return draw


def loader(workers: int) -> TrainLoader:
    sampler = TrainSampler(11, seed=3, batch_size=2)
    return TrainLoader(
        Draws(), batch_size=2, sampler=sampler, num_workers=workers, persistent_workers=workers > 0, collate_fn=list
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_resumes_after_the_batches_that_another_has_yielded(workers: int) -> None:
    first = loader(workers)
    first.sampler.set_epoch(4)
    batches = iter(first)
    first_two = [next(batches) for _ in range(2)]
    state = first.state_dict()
    assert state == {"epoch": 4, "batches": 2}
    second = loader(workers)
    next(iter(second))  # Lightning starts to iterate before it knows where the run resumes
    second.load_state_dict(state)
    rest = list(second)
    assert rest == list(batches)
    assert len({draw for batch in first_two + rest for draw in batch}) == 10
    assert second.state_dict() == {"epoch": 4, "batches": 5}
    assert list(second)[:2] == first_two
