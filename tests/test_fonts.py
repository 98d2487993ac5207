"""Text of pictures in scripts that Pillow's own font lacks."""

from __future__ import annotations

import pytest
from PIL import ImageFont

from resnet_tl import fonts
from resnet_tl.fonts import Font, lettering


def drawn_as_boxes(text: str, font: Font) -> list[str]:
    box = bytes(font.getmask("\uffff"))
    return [character for character in text if not character.isspace() and bytes(font.getmask(character)) == box]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without fonts."""
    monkeypatch.setattr(fonts, "SYSTEM", ())


def test_plain_text_keeps_pillows_font() -> None:
    text, font = lettering("ant -> bee 0.93 · a.jpg…", 13)
    assert text == "ant -> bee 0.93 · a.jpg…"
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert font.getname()[0] == ImageFont.load_default(13).getname()[0]  # type: ignore[union-attr]
    assert font.size == 13


@pytest.mark.parametrize("text", ["éüñ", "čšž", "Straße", "я", "日本", "a\udce9", "e\u0301\n日"])
def test_no_letter_is_drawn_as_an_empty_box(text: str) -> None:
    drawn, font = lettering(text, 13)
    assert not drawn_as_boxes(drawn, font)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("text", "drawn"),
    [("éüñ č", "eun c"), ("e\u0301", "e"), ("Straße", "Stra?e"), ("яб日", "???"), ("a\n\u0142", "a\n?")],
)
def test_without_a_font_accents_are_left_out_and_the_rest_are_question_marks(text: str, drawn: str) -> None:
    assert lettering(text, 13)[0] == drawn
    assert not drawn_as_boxes(*lettering(text, 13))


def test_a_font_of_the_system_has_the_accents() -> None:
    if not any(map(fonts._is_there, fonts.SYSTEM)):
        pytest.skip("no font on this system")
    assert lettering("é ü ß ñ č", 13)[0] == "é ü ß ñ č"
