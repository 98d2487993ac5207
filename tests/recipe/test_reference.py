"""The flat description of all that a recipe can say."""

from __future__ import annotations

from types import SimpleNamespace

from resnet_tl.recipe.reference import reference
from resnet_tl.recipe.schema import REQUIRED, Section, can_be_named
from resnet_tl.run.sections import sections


def test_every_section_dataclass_and_class_has_its_arguments() -> None:
    entries = {entry.name: entry for entry in reference(sections())}
    assert {"recipe", "trainer", "Tracking", "Classification", "Phase", "FPN", "UNetHead", "ImageFolder"} <= set(
        entries
    )
    assert [argument.name for argument in entries["recipe"].arguments] == [
        "seed_everything", "model", "data", "trainer", "tracking"
    ]  # fmt: skip
    folder = {argument.name: argument for argument in entries["ImageFolder"].arguments}
    assert folder["root"].default is REQUIRED
    assert folder["batch_size"].default == 32
    assert folder["batch_size"].description
    assert (entries["ImageFolder"].kind, entries["Phase"].kind) == ("ImageData", "")
    assert entries["MLPHead"].path == "resnet_tl.models.heads.classification.MLPHead"


def test_what_only_subclasses_can_be_is_not_there() -> None:
    names = [entry.name for entry in reference(sections())]
    assert len(names) == len(set(names))
    assert not {"ClassificationData", "DetectionData", "SegmentationHead", "Decoder", "ImageSet"} & set(names)


def test_classes_of_others_are_left_to_them(world: SimpleNamespace, section: Section) -> None:
    assert [entry.name for entry in reference(section)] == ["recipe", "trainer"]
    assert can_be_named(world.Deep, 2)
