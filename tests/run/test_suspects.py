"""The sheet shows a suspect box, where it belongs, and the boxes next to it; kinds are listed in turn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from resnet_tl.metrics.suspects.suspect import NOTHING, Suspect
from resnet_tl.prediction.drawing import colour_of
from resnet_tl.run.suspects import Suspects, suspects_sheet
from resnet_tl.run.suspects import _doubts as doubts
from resnet_tl.run.suspects import _ordered as ordered
from tests.metrics.box_sets import box_set


def colours(sheet: Image.Image) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(sheet).reshape(-1, 3).tolist()))


def test_boxes_are_drawn_with_their_surroundings(tmp_path: Path) -> None:
    Image.new("RGB", (320, 320), "white").save(tmp_path / "000.jpg")
    boxes = np.array([[100, 100, 150, 150], [160, 100, 200, 150], [290, 290, 310, 310]], np.float64)
    evaluation = replace(box_set(2, 2), root=str(tmp_path), target_image=np.zeros(3, np.int64), target_boxes=boxes)
    suspect = Suspect("badly placed", "000.jpg", "class 0", "class 0", 1.0, (100, 100, 150, 150), (120, 110, 170, 160))
    red, blue, green = map(colour_of, range(3))
    sheet = suspects_sheet(Suspects(evaluation, [suspect], [], 3), 5)
    assert {red, blue, green} <= colours(sheet)
    alone = replace(evaluation, target_boxes=boxes[[0, 2, 2]])  # the others are too far away
    sheet = suspects_sheet(Suspects(alone, [suspect], [], 3), 5)
    assert {red, blue} <= colours(sheet)
    assert green not in colours(sheet)


def test_too_many_suspects_are_not_believed() -> None:
    evaluation = box_set(20, 2)
    given = len(evaluation.target_labels)
    suspect, missed = Suspect("spurious", "a", "class 0", NOTHING, 1.0), Suspect("missed", "a", NOTHING, "class 0", 1.0)
    assert list(doubts(evaluation, [suspect] * (given // 5) + [missed] * given)) == []
    (sentence,) = doubts(evaluation, [suspect] * (given // 2))
    assert sentence.startswith(
        f"{given // 2} of {given} annotations are suspects: so many show that the network is weak"
    )


def test_kinds_are_taken_in_turn_each_by_its_score() -> None:
    found = [
        Suspect("spurious", "a", "", "", 0.9),
        Suspect("spurious", "b", "", "", 1.0),
        Suspect("spurious", "c", "", "", 0.8),
        Suspect("missed", "d", "", "", 0.5),
        Suspect("missed", "e", "", "", 0.6),
    ]
    assert [each.key for each in ordered(found)] == ["b", "e", "a", "d", "c"]


def test_of_regions_of_one_score_the_largest_comes_first() -> None:
    found = [Suspect("region", "a", "", "", 1.0, pixels=100), Suspect("region", "b", "", "", 1.0, pixels=200)]
    assert [each.key for each in ordered(found)] == ["b", "a"]
