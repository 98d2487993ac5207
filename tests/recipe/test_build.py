"""Objects from resolved recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from resnet_tl.errors import UserError
from resnet_tl.models.heads.classification import MLPHead
from resnet_tl.models.network import Backbone, build
from resnet_tl.recipe.build import foreign_code, instantiate, instantiate_model
from resnet_tl.recipe.schema import import_path

OURS = "resnet_tl.models.heads.classification.MLPHead"
MODEL = {"backbone": {"name": "resnet_tiny"}, "head": {"class_path": OURS, "init_args": {"hidden": 5}}, "mixup": 0.1}


def test_mappings_lists_tuples_and_objects(world: SimpleNamespace) -> None:
    optimizer = instantiate(world.Optimizer, {"name": "x", "betas": [0.1, 0.2]})
    assert optimizer == world.Optimizer(name="x", betas=(0.1, 0.2))
    assert instantiate(list[world.Phase], [{"epochs": 2}, {}]) == [world.Phase(2), world.Phase()]
    spec = {"class_path": "Folder", "init_args": {"root": "photos", "batch_size": 4}}
    assert vars(instantiate(world.Data, spec)) == {"images": ["photos"], "batch_size": 4, "weights": None}


def test_a_callable_waits_for_its_arguments(world: SimpleNamespace) -> None:
    hint = Callable[[list[int], list[str]], world.Head]
    late = instantiate(hint, {"class_path": "Deep", "init_args": {"hidden": 3, "dropout": 0.5}})
    head = late([1], ["a"])
    assert (type(head), head.hidden, head.dropout, head.levels) == (world.Deep, 3, 0.5, [1])


def test_lists_are_copies() -> None:
    value = {"callbacks": [1]}
    made = instantiate(list[int], value["callbacks"])
    made.append(2)
    assert value == {"callbacks": [1]}


def test_a_network_from_the_model_section_alone() -> None:
    arguments = instantiate_model(MODEL)
    network = build(**arguments, classes=["a", "b"])
    assert arguments["backbone"] == Backbone(name="resnet_tiny")
    assert isinstance(network.head, MLPHead)
    assert network.head.fc.in_features == 5


def test_foreign_code_is_not_imported_without_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Head: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    recipe = {**MODEL, "head": {"class_path": "evil.Head", "init_args": {}}}
    with pytest.raises(UserError, match=r"'evil\.Head', which is not part of resnet_tl: add --trust-code"):
        instantiate_model(recipe)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("recipe", "path"),
    [
        (MODEL, None),
        ({"train_transforms": [{"class_path": "HorizontalFlip"}]}, None),
        ({"a": [{"b": {"class_path": "os.system"}}]}, "os.system"),
        ({"backbone": {"name": "mine.Trunk"}}, "mine.Trunk"),
        ({"eval_transforms": ({"class_path": "evil.Flip"},)}, "evil.Flip"),
        ({"head": "evil.f"}, "evil.f"),
        ({"schedule": {"name": "evil.boom"}}, "evil.boom"),
        ({"schedule": {"name": "torch.optim.lr_scheduler.OneCycleLR"}}, None),
        ({"schedule": {"name": "torch.optim.lr_scheduler.partial"}}, "torch.optim.lr_scheduler.partial"),
        ({"backbone": {"weights": "resnet18.pth"}, "root": "photos.v2", "classes": ["St.Bernard"]}, None),
        ({"class_path": "resnet_tl.cli.main.import_module"}, "resnet_tl.cli.main.import_module"),
        ({"class_path": "resnet_tl.cli.main.main"}, "resnet_tl.cli.main.main"),
        ({"class_path": "resnet_tl.files.Path"}, "resnet_tl.files.Path"),
    ],
)
def test_foreign_code_is_found_wherever_it_is_named(recipe: dict, path: str | None) -> None:
    assert foreign_code(recipe) == path


def test_import_paths_lead_back(world: SimpleNamespace) -> None:
    assert import_path(MLPHead) == OURS
