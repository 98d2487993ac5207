from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.checkpoints import figures, files, readers, trained, trained_plain, writers


@pytest.mark.filterwarnings("ignore")
def test_all_write_the_same_number_of_values_and_read_them(tmp_path: Path) -> None:
    ours, theirs = trained(tmp_path, "resnet18"), trained_plain(tmp_path, "resnet18")
    for save in writers(ours, theirs, tmp_path).values():
        save()
    sizes = [path.stat().st_size for path in files(tmp_path).values()]
    assert max(sizes) < 1.02 * min(sizes)
    predictor, *networks = (load() for load in readers("resnet18", tmp_path).values())
    assert [len(list(network.parameters())) for network in networks] == [62, 62]  # type: ignore[attr-defined]
    assert all(isinstance(value, torch.Tensor) for value in predictor.network.state_dict().values())  # type: ignore[attr-defined]


def test_figures_compare_ours_with_each_peer() -> None:
    seconds = {"resnet_tl": [1.0, 1.0], "Lightning": [2.0, 2.0], "torch.save": [0.5, 0.5]}
    cells = [(each.row, each.column, each.value) for each in figures({"seconds": {"writing": seconds}})]
    assert cells == [
        ("writing", "seconds", 1.0),
        ("writing", "against Lightning", 0.5),
        ("writing", "against torch.save", 2.0),
    ]
