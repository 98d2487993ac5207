from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.errors import DataError, RecipeError, RunError, UserError, WeightsError, did_you_mean


def test_every_kind_is_a_user_error() -> None:
    assert all(issubclass(kind, UserError) for kind in (RecipeError, DataError, WeightsError, RunError))


def test_a_misspelt_word_suggests_the_closest_choice() -> None:
    assert did_you_mean("resnet05", ["resnet18", "resnet50", "resnet152"]) == "; did you mean 'resnet50'?"
    assert did_you_mean("vgg", ["resnet18", "resnet50"]) == did_you_mean("vgg", []) == ""


@given(st.lists(st.text("abc", min_size=1), min_size=1), st.data())
def test_a_valid_choice_suggests_itself(choices: list[str], data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(choices))
    assert did_you_mean(word, iter(choices)) == f"; did you mean {word!r}?"
