"""Where boot environments say how they fare: POST /session/<session>/started, done or failed, over HTTP (safety 5.4).

The token of the session's own session.env is the key. A thread of its own, a bounded number of connections, ten seconds
for each: nothing that is sent here reaches the loop that answers machines (R-90, R-91).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from ipaddress import IPv4Address
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import parse_qs

from pxefast.config import Report
from pxefast.errors import CannotBind, PxefastError
from pxefast.responder import http
from pxefast.responder.http import Refused
from pxefast.site.ledger import Ledger, ReportResult

__all__ = ["Reported", "Reports"]

_SECONDS = 10.0
_MOST_CONNECTIONS = 256
_MOST_OF_ADDRESS = 8
_MOST_FAILURES = 5
_FAILURE_SECONDS = 60.0
_LONGEST_TEXT = 256
_MOST_ADDRESSES = 4096

Kind = Literal["started", "done", "failed"]
_PATH = re.compile(r"/session/([0-9a-f]{32})/(started|done|failed)")
_STATUS = {
    "reported": HTTPStatus.OK,
    # The same for a session that is not there and for a wrong token: who guesses learns nothing.
    "unknown_session": HTTPStatus.FORBIDDEN,
    "cleared": HTTPStatus.GONE,
}


class Reported(NamedTuple):
    """A report that the ledger has decided on, and from which address it came."""

    address: str
    kind: str
    text: str
    session: str
    result: ReportResult


class Reports:
    """The endpoint, bound; `start` serves. `tell` hears each report. Raises CannotBind."""

    def __init__(
        self,
        settings: Report,
        listen: IPv4Address,
        ledger: Ledger,
        tell: Callable[[Reported], None],
        opened: int | None = None,
    ) -> None:
        self._ledger = ledger
        self._tell = tell
        self._open: Counter[str] = Counter()
        self._failures: dict[str, deque[float]] = {}
        self._socket = (
            _bound(str(settings.address or listen), settings.port)
            if opened is None
            else socket.socket(fileno=opened)
        )
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._pool = ThreadPoolExecutor(2, "pxefast-report")
        self._thread = threading.Thread(target=self._run, name="pxefast-reports", daemon=True)

    def start(self) -> None:
        """Serve from now on, in a thread of its own."""
        self._thread.start()

    def fileno(self) -> int:
        """The listening socket's descriptor."""
        return self._socket.fileno()

    def leave(self) -> None:
        """Whoever connects from now on is another process's, which listens here too; who has connected is answered."""
        self._loop.call_soon_threadsafe(self._server.close)

    def close(self) -> None:
        """End it; a report under way is decided, and its sender may not hear of it."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_SECONDS)
        else:
            self._loop.close()
        self._socket.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, sock=self._socket, limit=http.HEAD_BYTES, backlog=128)
        )
        self._loop.run_forever()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("peername", ("",))[0]
        if self._open.total() >= _MOST_CONNECTIONS or self._open[address] >= _MOST_OF_ADDRESS:
            writer.transport.abort()
            return
        self._open[address] += 1
        try:
            async with asyncio.timeout(_SECONDS):
                writer.write(await self._answer(reader, address))
                await writer.drain()
                # Read what it still sends, so that it hears the answer before the connection ends.
                writer.write_eof()
                await reader.read(1 << 16)
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            writer.transport.abort()
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    async def _answer(self, reader: asyncio.StreamReader, address: str) -> bytes:
        try:
            request = await http.read(reader)
            return http.response(*await self._report(request, address))
        except Refused as refused:
            return http.response(refused.status, {"ok": False, "error": str(refused)})

    async def _report(self, request: http.Request, address: str) -> tuple[HTTPStatus, dict[str, object]]:
        target, _, query = request.target.partition("?")
        path = _PATH.fullmatch(target)
        if path is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is only /session/<session>/started, done and failed")
        if request.method != "POST":
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "reports are POSTed")
        if self._failed_often(address):
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens from this address")
        session, kind = path[1], cast(Kind, path[2])
        token = _token(request, query)
        text = "".join(
            letter if letter.isprintable() else " " for letter in request.body.decode("utf-8", "replace")
        )[:_LONGEST_TEXT].strip()
        try:
            result = await self._loop.run_in_executor(
                self._pool, lambda: self._ledger.report(session, token, kind, text, time.time())
            )
        except PxefastError as error:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE, f"not known to be recorded, say it again: {error}"
            ) from None
        if result.reason.code == "unknown_session":
            self._failed(address)
        self._tell(Reported(address, kind, text, session, result))
        said: dict[str, object] = {"ok": result.ok, "state": result.state}
        if not result.ok:
            said["error"] = result.reason.text
        return (HTTPStatus.OK if result.ok else _STATUS.get(result.reason.code, HTTPStatus.CONFLICT)), said

    def _failed(self, address: str) -> None:
        if address not in self._failures and len(self._failures) >= _MOST_ADDRESSES:
            self._failures.pop(next(iter(self._failures)))
        self._failures.setdefault(address, deque(maxlen=_MOST_FAILURES)).append(time.monotonic())

    def _failed_often(self, address: str) -> bool:
        failures = self._failures.get(address)
        if failures is None or len(failures) < _MOST_FAILURES:
            return False
        return time.monotonic() - failures[0] < _FAILURE_SECONDS


def _bound(address: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((address, port))
    except OSError as error:
        found.close()
        advice = "; end what uses the port, or" if error.errno == errno.EADDRINUSE else ";"
        raise CannotBind(
            f"cannot bind TCP {address}:{port}: {error.strerror}{advice} see [report] in pxefast.toml"
        ) from None
    return found


def _token(request: http.Request, query: str) -> str:
    """The token of the header or of the query. Raises Refused."""
    scheme, _, given = request.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and given:
        return given.strip()
    asked: list[Any] = []
    with contextlib.suppress(ValueError):
        asked = parse_qs(query, max_num_fields=8).get("token", [])
    if len(asked) != 1:
        raise Refused(HTTPStatus.UNAUTHORIZED, "send the token of session.env: Authorization: Bearer ...")
    return str(asked[0])
