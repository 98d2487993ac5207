"""Maps and the rest of a batch in one file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from resnet_tl.errors import DataError
from resnet_tl.structures.records import Batch, Draw, Features
from resnet_tl.tuning.feature_file import FeatureFile, fill, layout_of


def test_fillers_and_images_that_cannot_be_decoded_count_nowhere(tmp_path: Path) -> None:
    features = Features({"c4": torch.rand(2, 3, 4, 5)}, (64, 80), "layer3")
    sizes, original = torch.tensor([[64, 80], [60, 80]]), torch.tensor([[9, 8], [7, 6]])
    batch = Batch(features, torch.zeros(2), sizes, original, torch.tensor([0, -1]))
    with open(tmp_path / "a.features", "wb") as file:
        fill(file, layout_of(features, batch, 2), [(features, batch)])
    taken, rest = FeatureFile(tmp_path / "a.features").take([Draw(7, 1), Draw(0, -1), Draw(3, 0)])
    assert rest["indices"].tolist() == [-1, -1, 0]
    assert torch.equal(taken.maps["c4"][2], features.maps["c4"][0])
    assert rest["original_sizes"].tolist()[2] == [9, 8]
    assert rest["sizes"].tolist()[0] == [60, 80]
    assert (taken.input_size, taken.after) == ((64, 80), "layer3")


def test_masks_are_stored_with_their_view_and_only_images_of_one_size(tmp_path: Path) -> None:
    def stored(height: int, width: int) -> tuple[Features, Batch]:
        features = Features({"c4": torch.rand(2, 3, 4, 4)}, (height, width), "layer3")
        sizes = torch.tensor([[height, width]] * 2)
        masks = torch.randint(3, (2, height, width), dtype=torch.uint8)
        return features, Batch(features, masks, sizes, sizes, torch.tensor([0, 1]))

    upright, lying = stored(40, 30), stored(30, 40)
    path = tmp_path / "a.features"
    with open(path, "wb") as file:
        fill(file, layout_of(*upright, 2), [upright])
    _, rest = FeatureFile(path).take([Draw(0, 1), Draw(0, 0)])
    assert torch.equal(rest["targets"], upright[1].targets.flip(0))
    with pytest.raises(DataError, match="images of different sizes: 30 x 40 and 40 x 30"), open(path, "wb") as file:
        fill(file, layout_of(*upright, 4), [upright, lying])
