"""The report port listens once `start` returned, and a port that cannot listen is an error, never a silent thread."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Any, cast

import pytest
from pxefast.config import Report
from pxefast.errors import CannotBind
from pxefast.responder.reports import Reports

ADDRESS = IPv4Address("127.0.0.1")


@contextmanager
def endpoint(port: int = 0) -> Iterator[Reports]:
    reports = Reports(Report(port=port), ADDRESS, cast(Any, None), lambda _: None, lambda *_: None)
    try:
        yield reports
    finally:
        reports.close()


def test_a_request_is_answered_as_soon_as_start_has_returned() -> None:
    for _ in range(20):
        with endpoint() as reports:
            reports.start()
            with socket.create_connection((str(ADDRESS), reports.port), 5) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 404 ")


def test_start_returns_only_once_the_thread_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow thread: `leave` and `close` right after `start` find a server."""
    begin, may_begin, started = asyncio.start_server, threading.Event(), threading.Event()

    async def late(*arguments: Any, **options: Any) -> asyncio.Server:
        assert may_begin.wait(10)
        return await begin(*arguments, **options)

    monkeypatch.setattr(asyncio, "start_server", late)
    with endpoint() as reports:

        def start() -> None:
            reports.start()
            started.set()

        starter = threading.Thread(target=start)
        starter.start()
        assert not started.wait(0.2)
        may_begin.set()
        assert started.wait(10)
        starter.join()
        reports.leave()


def test_a_port_that_another_socket_is_bound_to_is_an_error_with_advice() -> None:
    """Two sockets may be bound to one port with SO_REUSEADDR; the second cannot listen."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((str(ADDRESS), 0))
        port = other.getsockname()[1]
        other.listen()
        with pytest.raises(CannotBind, match=rf"TCP 127\.0\.0\.1:{port}: .*in use; .*\[report\]"):
            Reports(Report(port=port), ADDRESS, cast(Any, None), lambda _: None, lambda *_: None)
    with endpoint() as first:
        with pytest.raises(CannotBind, match="in use"), endpoint(first.port):
            pass
        first.start()


def test_a_thread_that_cannot_serve_makes_start_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any, **__: Any) -> asyncio.Server:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(asyncio, "start_server", full)
    with (
        endpoint() as reports,
        pytest.raises(CannotBind, match=r"cannot serve reports on TCP 127.*: Cannot allocate memory"),
    ):
        reports.start()
