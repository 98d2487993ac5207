"""The address that a server listens at."""

from __future__ import annotations

import socket

import pytest

from resnet_tl.errors import RunError
from resnet_tl.serve.listen import address, is_loopback, listen


def test_a_free_port() -> None:
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert address(listening) == f"http://127.0.0.1:{port}"
        assert is_loopback(listening)
        with pytest.raises(RunError, match=rf"^cannot listen at 127.0.0.1, port {port} \(address already in use\)"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 70_000, "^--port 70000: expected 0 to 65535"),
        ("127.0.0.1", -1, "^--port -1: expected 0 to 65535"),
        ("no.such.name.invalid", 0, "^--host no.such.name.invalid: there is no such name"),
        ("a..b", 0, r"^--host a\.\.b: there is no such name"),
        ("192.0.2.1", 0, "^cannot listen at 192.0.2.1, port 0"),
    ],
)
def test_what_cannot_be_listened_at(host: str, port: int, message: str) -> None:
    with pytest.raises(RunError, match=message):
        listen(host, port)


def test_all_addresses_are_not_loopback() -> None:
    with listen("0.0.0.0", 0) as listening:
        assert not is_loopback(listening)
        assert address(listening).startswith(f"http://{socket.gethostname()}:")
