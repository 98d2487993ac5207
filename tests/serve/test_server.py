"""A server on a socket: slow clients, and the shutdown."""

from __future__ import annotations

import http.client
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from resnet_tl.serve import server
from resnet_tl.serve.listen import listen
from tests.serve.conftest import encoded


@contextmanager
def running(app: Any) -> Iterator[tuple[int, Any]]:
    """Yields the port of a server in a thread, and what signals it; a thread gets no signals itself."""
    made, started = [], threading.Event()

    class Server(server._Server):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    with pytest.MonkeyPatch.context() as patch, listen("127.0.0.1", 0) as listening:
        patch.setattr(server, "_Server", Server)
        thread = threading.Thread(target=server.run, args=(app, listening, started.set))
        thread.start()
        assert started.wait(10)
        yield listening.getsockname()[1], made[0].handle_exit
        made[0].should_exit = made[0].force_exit = True
        thread.join(10)
        assert not thread.is_alive()


def drip(connection: socket.socket) -> None:
    """Sends a byte ten times a second, for five seconds."""
    for _ in range(50):
        connection.sendall(b"G")
        time.sleep(0.1)


def test_slow_headers_and_silent_connections_are_closed(
    client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADERS_S", 0.5)
    with running(client().app) as (port, _):
        silent = socket.create_connection(("127.0.0.1", port), timeout=5)
        slow = socket.create_connection(("127.0.0.1", port), timeout=5)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            drip(slow)
        assert silent.recv(1) == b""
        kept = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(2):
            kept.request("GET", "/health")
            assert kept.getresponse().read() == b'{"status":"ok"}'


def test_a_declared_gigabyte_is_refused_at_once(client: Callable[..., Any]) -> None:
    with running(client().app) as (port, _):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.putrequest("POST", "/predict")
        connection.putheader("Content-Length", str(10**9))
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_what_was_accepted_is_answered_after_the_signal_and_new_requests_are_refused(
    client: Callable[..., Any],
) -> None:
    app = client().app
    predict, go = app.state.service.predictor.predict_batch, threading.Event()
    entered = threading.Event()

    def slow(batch: Any, options: Any) -> Any:
        entered.set()
        assert go.wait(10)
        return predict(batch, options)

    app.state.service.predictor.predict_batch = slow
    with running(app) as (port, handle_exit):
        first = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        first.request("POST", "/predict", encoded(0), {"Content-Type": "image/png"})
        assert entered.wait(10)
        handle_exit(signal.SIGTERM, None)
        second = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        second.request("POST", "/predict", encoded(0), {"Content-Type": "image/png"})
        refused = second.getresponse()
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        go.set()
        assert first.getresponse().status == 200
        time.sleep(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
