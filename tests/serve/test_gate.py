"""Who may use a server, and what every answer carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resnet_tl.serve.listen import LOCAL


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "[::1"}, 200),
        ({"Host": "["}, 403),
        ({"Host": "localhost:8000", "Origin": "http://localhost:9000"}, 403),
        ({"Host": "localhost:8000", "Origin": "http://evil.example"}, 403),
        ({"Host": "localhost:8000", "Origin": "null"}, 403),
    ],
)
def test_pages_of_other_sites_are_kept_out(client: Callable[..., Any], headers: dict[str, str], status: int) -> None:
    answer = client(hosts=LOCAL).get("/health", headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_on_a_network_any_name_is_accepted_but_no_other_origin(client: Callable[..., Any]) -> None:
    http = client()
    assert http.get("/health", headers={"Host": "lab.example"}).status_code == 200
    assert http.get("/health", headers={"Host": "lab.example", "Origin": "http://evil.example"}).status_code == 403


def test_new_requests_are_refused_during_the_shutdown(client: Callable[..., Any]) -> None:
    http = client()
    http.app.state.service.traffic.closing = True
    answer = http.post("/predict", content=b"x")
    assert (answer.status_code, answer.json()) == (503, {"error": "the server is shutting down"})
    assert answer.headers["retry-after"] == "1"
    assert http.get("/health").status_code == 503
    assert http.get("/metrics").status_code == 200


def test_requests_are_counted_by_path_and_status(client: Callable[..., Any]) -> None:
    http = client()
    for path in ("/health", "/health", "/nothing", "/predict"):
        http.get(path)
    assert http.app.state.service.counters.requests == {("/health", 200): 2, ("other", 404): 1, ("/predict", 405): 1}
    assert http.app.state.service.traffic.active == 0
