from __future__ import annotations

import pytest
from torch import nn

from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.plan_table import saved, table
from resnet_tl.tuning.resolve import resolve

STAGES = {
    "stem": [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)],
    "body": [nn.Sequential(nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4))],
    "head": [nn.Linear(4, 2)],
}
PHASES = [Phase(["head"], epochs=1), Phase(["norms", "head"], epochs=2, until="plateau"), Phase(layer_decay=0.5)]
MACS = {"stem": 100, "body": 300, "head": 20}


def test_every_stage_and_phase_is_shown() -> None:
    plan = resolve(Tuning(PHASES), list(STAGES), 10)
    assert table(plan, STAGES, "train", 0.2, MACS).splitlines() == [
        "stage          parameters  phase 0: epoch 1  phase 1: epochs 2-3 or plateau    phase 2: epochs 4-10",
        "stem           116         frozen            lr 0.2 (norms only), norms train  lr 0.05, norms train",
        "body           152         frozen            lr 0.2 (norms only), norms train  lr 0.1, norms train",
        "head           10          lr 0.2            lr 0.2                            lr 0.2",
        "compute saved              63%               32%                               0%",
    ]


def test_a_solved_head_has_no_rate() -> None:
    plan = resolve(Tuning([Phase(["head"], solver="lbfgs"), Phase()]), list(STAGES), 10)
    assert table(plan, STAGES, "train", 0.2).splitlines()[-1].split() == ["head", "10", "solved", "lr", "0.2"]


def test_without_rate_and_compute() -> None:
    plan = resolve(Tuning([Phase(["biases"])], norm="train"), list(STAGES), 10)
    lines = table(plan, STAGES, "train").splitlines()
    assert lines[1:] == [
        "stem   116         lr x 1 (biases only), norms frozen",
        "body   152         lr x 1 (biases only), norms frozen",
        "head   10          lr x 1 (biases only)",
    ]
    assert "norms frozen" in table(resolve(Tuning(), list(STAGES), 10), STAGES, "frozen")


@pytest.mark.parametrize(
    ("train", "cost"),
    [
        (["head"], 100 + 300 + 3 * 20),
        (["body"], 100 + 3 * 300 + 2 * 20),
        (["stem", "head"], 3 * 100 + 2 * 300 + 3 * 20),
        (["norms"], 2 * (100 + 300 + 20)),
        ("all", 3 * (100 + 300 + 20)),
    ],
)
def test_what_a_step_costs(train: list[str] | str, cost: int) -> None:
    kinds = {"stem": ["norms"], "body": ["norms"], "head": ["biases"]}
    (phase,) = resolve(Tuning([Phase(train)]), list(STAGES), 1, kinds=kinds).phases
    assert saved(phase, MACS) == pytest.approx(1 - cost / (3 * 420))
