"""Recipes whose bytes are broken: `check` answers with a sentence, whatever the file holds."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path

import pytest

from resnet_tl.cli.main import main
from resnet_tl.recipe.shipped import shipped_root

RECIPES = sorted((shipped_root() / "recipes").glob("*/*.yaml"))
INSERTED = [
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\x1b[31m",
    b"\t",
    b"\r",
    b"&a ",
    b"*a",
    b"<<: *a",
    b"!!python/object/apply:os.system [ls]",
    b"!!int ",
    b"!!binary ",
    b"!!timestamp 1",
    b"{",
    b"}",
    b"[" * 3000,
    b"- " * 500,
    b"a: " * 200,
    b"? ",
    b"--- \n",
    b"...\n",
    b"%YAML 9.9\n",
    b'"',
    b"'",
    b"|\n",
    b": ",
    b"#",
    b"1e400",
    b"0x" + b"f" * 400,
    b"9" * 5000,
    b".inf",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
]


def mutated(number: int) -> bytes:
    draw = random.Random(number)
    data = bytearray(draw.choice(RECIPES).read_bytes())
    for _ in range(draw.choice([1, 1, 2, 5])):
        place = draw.randrange(len(data))
        kind = draw.random()
        if kind < 0.5:
            data[place:place] = draw.choice(INSERTED)
        elif kind < 0.7:
            data[place] = draw.randrange(256)
        elif kind < 0.85:
            del data[place : place + draw.choice([1, 3, 30])]
        else:
            data[place:place] = data[draw.randrange(len(data)) :][:60]
    return bytes(data)


def check(path: Path) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        return main(["check", "-c", str(path)]), out.getvalue()


@pytest.mark.parametrize("first", [0, 50])
def test_a_hundred_broken_files_are_sentences(first: int, tmp_path: Path) -> None:
    for number in range(first, first + 50):
        path = tmp_path / f"{number}.yaml"
        path.write_bytes(mutated(number))
        code, printed = check(path)
        assert code in (0, 2), number
        assert "Traceback" not in printed, number
        assert not {each for each in printed if ord(each) < 32} - {"\n"}, number
