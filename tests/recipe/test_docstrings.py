"""Descriptions out of docstrings."""

from __future__ import annotations

from resnet_tl.recipe.docstrings import arguments, summary


class Base:
    """A base. With more to say.

    Args:
        root, csv: where it
            is.
        size: in pixels.
        **options: of nothing.

    What follows is no argument: not one.
    """


class Child(Base):
    """A child (arXiv:1234.5678); not more.

    Args:
        size: of the child.
    """


def lightning() -> None:
    """Customize every aspect.

    Args:
        accelerator: Supports "cpu", "gpu".

            A second paragraph: with a colon.

        devices: The devices. Can be a number. Default: ``"auto"``.
    """


def test_the_summary_is_the_first_sentence() -> None:
    assert summary(Base) == "A base."
    assert summary(Child) == "A child (arXiv:1234.5678); not more."


def test_arguments_are_one_line_each_and_the_nearest_class_counts() -> None:
    assert arguments(Base) == {
        "root": "where it is.", "csv": "where it is.", "size": "in pixels.", "options": "of nothing."
    }  # fmt: skip
    assert arguments(Child)["size"] == "of the child."
    assert arguments(Child)["root"] == "where it is."


def test_only_the_first_paragraph_without_its_default() -> None:
    assert arguments(lightning) == {
        "accelerator": 'Supports "cpu", "gpu".', "devices": "The devices. Can be a number."
    }  # fmt: skip
