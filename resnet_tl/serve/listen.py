"""The address that a server listens at."""

from __future__ import annotations

import ipaddress
import os
import socket

from resnet_tl.errors import RunError

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine by which no other one can be meant."""
BACKLOG = 1024
"""Connections that wait to be accepted."""


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket. port: 0 for a free one.

    Raises:
        RunError: the port is taken or not allowed, or the host is not an address of this machine.
    """
    if not 0 <= port <= 65535:
        raise RunError(f"--port {port}: expected 0 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (socket.gaierror, UnicodeError):
        raise RunError(
            f"--host {host}: there is no such name; expected an address of this machine, as 0.0.0.0"
        ) from None
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise RunError(
            f"cannot listen at {host}, port {port} ({reason}); choose others by --host and --port, 0 for a free port"
        ) from None


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine reaches the socket."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def address(listening: socket.socket) -> str:
    """Returns what a browser opens: `http://127.0.0.1:8000`."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
