"""Text that cannot be read is one sentence with the path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.data.sources.text_files import read_json, read_text, read_xml, read_yaml
from resnet_tl.errors import DataError

BOMB = '<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>'
ALIASES = "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]\n"


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (
            read_text,
            "caf\u00e9".encode("latin-1"),
            r"is not UTF-8 text \(unexpected end of data at byte 3\); save it as",
        ),
        (read_text, b"", "the file is empty"),
        (read_json, b"[" * 100_000, r"is not valid JSON \("),
        (read_json, b"9" * 5000, r"is not valid JSON \("),
        (read_json, b"\xff\xfe\xfa", r"is not valid JSON \("),
        (read_xml, b"<a><b></a>", r"is not valid XML \(mismatched tag: line 1, column 8\)"),
        (read_xml, b'<?xml version="1.0" encoding="klingon"?><a/>', r"is not valid XML \("),
        (read_xml, BOMB.encode(), "declares XML entities; expected annotations, which need none"),
        (read_yaml, b"a: [", r"is not valid YAML \("),
        (read_yaml, b"[" * 20_000, r"is not valid YAML \("),
        (read_yaml, b"a: 2001-99-99", r"is not valid YAML \("),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, read: Callable[[str], Any], content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{path}: {message}"):
        read(str(path))


def test_what_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_text(str(path)) == "a: 1"
    assert read_yaml(str(path)) == {"a": 1}
    path.write_text("- 1")
    assert read_yaml(str(path)) == {}
    path.write_text("<a><b/></a>")
    assert read_xml(str(path)).find("b") is not None
    path.write_text("[1]", encoding="utf-16")
    assert read_json(str(path)) == [1]
    path.write_text(ALIASES)
    assert read_yaml(str(path))["names"] == [[["x", "x"], ["x", "x"]]] * 2
