"""Rows about images, over ranks and with fillers."""

from __future__ import annotations

import torch

from resnet_tl.metrics.record import Record


def test_rows_are_sorted_by_image_without_fillers_on_any_number_of_ranks() -> None:
    indices, values = torch.tensor([3, 3, 1, -1, 0, -1]), torch.arange(6) * 10
    single, first, second = (Record("values") for _ in range(3))
    single.update(indices=indices, values=values)
    first.update(indices=indices[:3], values=values[:3])
    second.update(indices=indices[3:], values=values[3:])
    first.merge_state(second)
    for record in (single, first):
        rows = record.compute()
        assert rows["indices"].tolist() == [0, 1, 3, 3]
        assert rows["values"].tolist() == [40, 20, 0, 10]


def test_a_pass_of_fillers_alone_has_no_rows() -> None:
    record = Record("values")
    record.update(indices=torch.tensor([-1, -1]), values=torch.zeros(2, 3))
    assert record.compute()["values"].shape == (0, 3)
