"""Candidates are rated on the recipe's training images, preprocessed as its validation does it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.packing.pack import pack
from resnet_tl.errors import DataError, RecipeError, WeightsError
from resnet_tl.prediction.backbone import backbone_network
from resnet_tl.run.rank import Candidate, Ranking, Rated, rank
from tests.cli.conftest import RECIPE, several_labels

TINY = "resnet_tiny=random"


def of(images: Path, **options: Any) -> list[tuple[str, Any]]:
    return [(f"data.{key}", value) for key, value in {"root": str(images), **options}.items()]


def recipe() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(RECIPE)
    return read


def test_colours_are_told_apart_even_by_a_random_network(images: Path) -> None:
    ranking = rank([recipe()], of(images), [TINY, "resnet20_cifar=builtin/resnet20_cifar10"])
    assert {each.candidate.backbone for each in ranking.rated} == {"resnet_tiny", "resnet20_cifar"}
    assert all(each.probe == 1 and each.interval[1] == 1 and len(each.right) == 12 for each in ranking.rated)
    assert ranking.sure == 0.5  # neither is better
    assert ranking.notes[-1] == "12 training images of 2 classes are compared"


def test_images_in_shards_are_rated_as_those_in_files(images: Path, tmp_path: Path) -> None:
    pack(ImageFolder(str(images)), str(tmp_path / "packed"))
    packed = recipe()
    packed["data"]["class_path"] = "Shards"
    (files,), (shards,) = (
        rank([each], of(root), [TINY]).rated for each, root in ((recipe(), images), (packed, tmp_path / "packed"))
    )
    assert shards.log_me == files.log_me


def test_it_repeats_and_the_order_of_candidates_does_not_matter(images: Path) -> None:
    names = [TINY, "resnet20_cifar=random"]
    one, other = (rank([recipe()], of(images), order) for order in (names, names[::-1]))
    assert {str(each.candidate): each.log_me for each in one.rated} == {
        str(each.candidate): each.log_me for each in other.rated
    }


def test_weights_with_a_classifier_are_rated_by_it_and_others_are_not(images: Path, tmp_path: Path) -> None:
    trunk = {key: value for key, value in backbone_network(None, "resnet_tiny").state_dict().items() if "fc" not in key}
    torch.save(trunk, tmp_path / "trunk.pt")
    names = ["resnet20_cifar=builtin/resnet20_cifar10", "resnet20_cifar=random", str(tmp_path / "trunk.pt")]
    for each in rank([recipe()], of(images), names).rated:
        own = each.candidate.weights.startswith("builtin")
        assert (each.leep is not None, each.nce is not None) == (own, own), each.candidate


def test_a_classifier_that_knows_nothing_has_the_likelihood_of_the_shares(images: Path, tmp_path: Path) -> None:
    network = backbone_network("builtin/resnet20_cifar10", "resnet20_cifar")
    state = {key: value for key, value in network.state_dict().items() if key not in ("mean", "std", "head.fc.bias")}
    state["head.fc.weight"] = torch.zeros(3, 64)
    torch.save(state, tmp_path / "flat.pt")
    (found,) = rank([recipe()], of(images), [f"resnet20_cifar={tmp_path / 'flat.pt'}"]).rated
    assert found.leep == found.nce == pytest.approx(np.log(0.5))  # two classes of six images


def test_the_earlier_stage_is_that_before_the_last(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def observed(features: np.ndarray, targets: np.ndarray, images: np.ndarray) -> np.ndarray:
        seen.append(features)
        return np.full(len(targets), len(seen) == 1)

    monkeypatch.setattr("resnet_tl.run.rank.probe_right", observed)
    (found,) = rank([recipe()], of(images), ["resnet20_cifar=builtin/resnet20_cifar10"]).rated
    assert (found.probe, found.earlier) == (1, 0)
    assert [each.shape for each in seen] == [(12, 64), (12, 32)]


def test_the_size_of_the_recipe_is_that_of_the_features(images: Path) -> None:
    small, large = (rank([recipe()], of(images, image_size=size), ["random"]).rated[0] for size in (8, 40))
    assert str(small.candidate) == TINY
    assert small.log_me != large.log_me


def test_few_images_of_many_are_taken_from_every_class(images: Path) -> None:
    ranking = rank([recipe()], of(images), [TINY], images=4)
    assert ranking.notes[-1] == "12 training images of 2 classes are compared"  # never fewer than 20 of a class
    assert ranking.sure is None


def copied(images: Path, root: Path) -> Path:
    return Path(shutil.copytree(images, root / "copy"))


def test_a_damaged_image_is_refused_or_skipped_as_the_recipe_has_it(images: Path, tmp_path: Path) -> None:
    root = copied(images, tmp_path)
    (root / "train" / "blue" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"blue/0\.png"):
        rank([recipe()], of(root), [TINY])
    with pytest.warns(UserWarning, match=r"blue/0\.png"):
        ranking = rank([recipe()], of(root, on_error="skip"), [TINY])
    assert ranking.notes[-1] == "11 training images of 2 classes are compared"
    assert ranking.rated[0].probe == 1  # labels are still those of their images


def test_one_class_is_refused(images: Path, tmp_path: Path) -> None:
    listed = tmp_path / "exclude.csv"
    listed.write_text("\n".join(["key", *(f"train/blue/{number}.png" for number in range(6))]))
    with pytest.raises(DataError, match="all training images are of one class"):
        rank([recipe()], of(images, exclude=str(listed)), [TINY])


def rated(right: list[int], images: np.ndarray | None = None) -> Rated:
    images = np.arange(len(right)) if images is None else images
    return Rated(Candidate("a", "b"), images, np.array(right, np.bool_), None, 0.5, 0.0, 0.0, None, None, 1.0)


def test_how_sure_it_is_counts_the_images_on_which_two_differ() -> None:
    half = [0, 1] * 50
    assert Ranking([rated([1] * 10 + half[10:]), rated(half)], []).sure == pytest.approx(1 - 0.95**100, abs=0.02)
    much, little = [1] * 80 + [0] * 20, [1] * 40 + [0] * 60
    assert Ranking([rated(much), rated(little)], []).sure == 1


def test_samples_of_one_image_are_drawn_together() -> None:
    right = [1] * 60 + [0] * 40
    alone, together = rated(right), rated(right, np.arange(100) // 10)  # ten images, each all right or all wrong
    low, high = together.interval
    assert high - low > 2.5 * (alone.interval[1] - alone.interval[0])
    lead, none = rated([0] * 10 + [1] * 90, np.arange(100) // 10), rated([0] * 100, np.arange(100) // 10)
    assert Ranking([lead, none], []).sure == pytest.approx(1, abs=0.01)
    assert Ranking([rated([1] * 10 + [0] * 90, none.images), none], []).sure == pytest.approx(1 - 0.9**10 / 2, abs=0.05)


def test_data_that_cannot_be_ranked_is_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="images of one class each, but these have any number of labels"):
        rank([several_labels(images, tmp_path)], [], [TINY])
    table = tmp_path / "sizes.csv"
    table.write_text("\n".join(["path,size", *(f"{n}.png,{n}" for n in range(6))]))
    numbers = {"root": str(images / "train" / "red"), "csv": str(table), "value_columns": ["size"]}
    with pytest.raises(RecipeError, match="with classes, boxes or masks, but data is RegressionTable"):
        rank([{"model": "Regression", "data": numbers}], [], [TINY])
    (tmp_path / "set" / "train").mkdir(parents=True)
    for name in ("blue", "red"):
        (tmp_path / "set" / "train" / name).symlink_to(images / "train" / name)
    (tmp_path / "set" / "train" / "green").mkdir()
    (tmp_path / "set" / "train" / "green" / "0.png").symlink_to(images / "val" / "red" / "0.png")
    (tmp_path / "set" / "val").symlink_to(images / "val")
    with pytest.raises(DataError, match="one training image of green; rank needs two of every class"):
        rank([recipe()], of(tmp_path / "set"), [TINY])


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([TINY, TINY], RecipeError, "names resnet_tiny=random twice"),
        (["resnet_tiny="], RecipeError, "--weights resnet_tiny=: expected BACKBONE=WEIGHTS"),
        (["resnet21=random"], RecipeError, "resnet21"),
        (["resnet18=builtin/resnet20_cifar10"], WeightsError, "resnet20_cifar"),
        (["nowhere/x.pth"], WeightsError, "nowhere/x.pth"),
    ],
)
def test_wrong_candidates_are_refused(images: Path, weights: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rank([recipe()], of(images), weights)
