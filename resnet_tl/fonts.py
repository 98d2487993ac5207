"""Fonts for the text of pictures: names in any script, without empty boxes for letters that a font lacks."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PILLOWS = ""
"""The font that comes with Pillow: ASCII and a few signs."""
SYSTEM = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "Arial.ttf",
    "arial.ttf",
    "Helvetica.ttc",
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "msgothic.ttc",
    "malgun.ttf",
)
"""Files that systems may have: Linux, Windows and macOS, the widespread scripts first."""
NO_CHARACTER = "\uffff"


def lettering(text: str, size: float) -> tuple[str, Font]:
    """Returns a text as it can be drawn, and the font for it: Pillow's own, or the system's that has most of its
    characters. What the font lacks is drawn without accents, or as "?".

    size: of the font, in pixels.
    """
    composed = unicodedata.normalize("NFC", text)
    name = PILLOWS
    if lacking := _lacking(PILLOWS, composed):
        name = min((PILLOWS, *filter(_is_there, SYSTEM)), key=lambda each: _lacking(each, composed))
        lacking = _lacking(name, composed)
    drawn = "".join(_similar(name, character) for character in composed) if lacking else composed
    return drawn, _font(name, size)


def draw_text(
    canvas: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    fill: str | int,
    size: float,
    anchor: str | None = None,
) -> None:
    """Draws a text by its `lettering`; anchor: as Pillow's, the upper left corner by default."""
    drawn, font = lettering(text, size)
    canvas.text(at, drawn, fill=fill, font=font, anchor=anchor)


def text_width(text: str, size: float) -> float:
    """Returns the pixels that `draw_text` needs for one line."""
    drawn, font = lettering(text, size)
    return font.getlength(drawn)


def _lacking(name: str, text: str) -> int:
    return sum(not _has(name, character) for character in text)


def _similar(name: str, character: str) -> str:
    if _has(name, character):
        return character
    bare = [part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part)]
    return "".join(part if _has(name, part) else "?" for part in bare)


@cache
def _has(name: str, character: str) -> bool:
    """Whether the font draws anything else for the character than for one that no font has."""
    if character.isspace():
        return True
    font = _font(name, 16)
    drawn, box = font.getmask(character), font.getmask(NO_CHARACTER)
    return (drawn.size, bytes(drawn)) != (box.size, bytes(box))


@cache
def _is_there(name: str) -> bool:
    try:
        _font(name, 16)
    except OSError:
        return False
    return True


@lru_cache(maxsize=64)
def _font(name: str, size: float) -> Font:
    return ImageFont.load_default(size) if name == PILLOWS else ImageFont.truetype(name, size)
