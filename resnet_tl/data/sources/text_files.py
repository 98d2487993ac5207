"""Text that other programs wrote, plain or as JSON, XML or YAML: what cannot be read is one sentence with the path."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import yaml

from resnet_tl.data.images.decode import read_bytes
from resnet_tl.errors import DataError

UNREADABLE = (ValueError, LookupError, OverflowError, RecursionError)
"""What parsers raise for damaged, deeply nested or hostile text, next to their own errors."""


def read_text(path: str, *, allow_empty: bool = False) -> str:
    """Returns the content of a UTF-8 file, without its byte order mark.

    Raises:
        DataError: it cannot be read, is empty, or is not UTF-8.
    """
    try:
        return read_bytes(path, allow_empty=allow_empty).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None


def read_json(path: str) -> Any:
    """Returns the content of a JSON file.

    Raises:
        DataError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(read_bytes(path))
    except UNREADABLE as error:
        raise DataError(f"{path}: is not valid JSON ({brief(error)})") from None


def read_xml(path: str) -> ElementTree.Element:
    """Returns the root of an XML file.

    Raises:
        DataError: it cannot be read, is not XML, or declares entities, which can be a bomb.
    """
    data = read_bytes(path)
    if b"<!ENTITY" in data:
        raise DataError(f"{path}: declares XML entities; expected annotations, which need none")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, *UNREADABLE) as error:
        raise DataError(f"{path}: is not valid XML ({brief(error)})") from None


def read_yaml(path: str) -> dict[Any, Any]:
    """Returns the mapping in a YAML file, of plain values; {} for any other content.

    Raises:
        DataError: it cannot be read, or is not YAML.
    """
    try:
        content = yaml.safe_load(read_bytes(path))
    except (yaml.YAMLError, *UNREADABLE) as error:
        raise DataError(f"{path}: is not valid YAML ({brief(error)})") from None
    return content if isinstance(content, dict) else {}


def brief(error: Exception) -> str:
    """Returns an error's message in one line of at most 100 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 100 else f"{text[:97]}..."
