"""The nearest by cosine, and the sheet that shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resnet_tl.errors import DataError
from resnet_tl.prediction.embedding import Embedding
from resnet_tl.prediction.similar import ACROSS, similar, similar_sheet


def embeddings(features: np.ndarray) -> list[Embedding]:
    return [Embedding(index, f"{index}.png", row) for index, row in enumerate(features.astype(np.float32))]


def test_the_order_is_that_of_all_cosines_without_the_query_itself() -> None:
    stored = embeddings(np.random.default_rng(0).normal(size=(40, 8)))
    query = stored[7].features
    cosines = {
        str(each.path): float(each.features @ query / np.linalg.norm(each.features) / np.linalg.norm(query))
        for each in stored
    }
    expected = sorted(cosines, key=lambda path: -cosines[path])
    matches = similar(stored[7], stored, top=39)
    assert [match.path for match in matches] == expected[1:]
    assert [match.score for match in matches] == pytest.approx([cosines[path] for path in expected[1:]], abs=1e-6)
    assert len(similar(stored[7], stored, top=3)) == 3


def test_copies_score_1_in_the_order_given_and_features_of_zeros_0() -> None:
    stored = embeddings(np.array([[1, 2, 3], [0, 0, 0], [2, 4, 6], [1, 2, 3], [-1, -2, -3]]))
    matches = similar(stored[0], stored)
    assert [(match.path, round(match.score, 6)) for match in matches] == [
        ("2.png", 1), ("3.png", 1), ("1.png", 0), ("4.png", -1)
    ]  # fmt: skip
    assert max(match.score for match in matches) <= 1


def test_a_query_in_memory_leaves_nothing_out() -> None:
    stored = embeddings(np.eye(3))
    assert len(similar(Embedding(0, None, stored[0].features), stored)) == 3
    assert similar(stored[0], stored[:1]) == []


def test_the_sheet_has_the_query_and_its_matches(photos: Path) -> None:
    paths = sorted(map(str, photos.rglob("*.png")))[:8]
    stored = [Embedding(index, path, np.ones(2, np.float32)) for index, path in enumerate(paths)]
    sheet = similar_sheet(paths[0], similar(stored[0], stored))
    assert (sheet.width, ACROSS) == (1594, 7)
    one_row = similar_sheet(paths[0], similar(stored[0], stored[:7]))
    assert sheet.height > 1.5 * one_row.height
    with pytest.raises(DataError, match=r"gone\.png"):
        similar_sheet("gone.png", [])
