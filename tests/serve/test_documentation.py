"""The API as a page of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any


def test_the_page_names_every_path_and_loads_nothing_from_elsewhere(client: Callable[..., Any]) -> None:
    http = client()
    page, schema = http.get("/docs").text, http.get("/openapi.json").json()
    assert set(schema["paths"]) == {"/health", "/model", "/metrics", "/predict", "/explain"}
    assert all(f"{path}</code>" in page for path in schema["paths"])
    assert "multipart/form-data" in schema["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert all(name in page for name in ("score", "top", "masks", "class"))
    assert all(link.startswith("/") for link in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert "<script" not in page
