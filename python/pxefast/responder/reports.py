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
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from ipaddress import IPv4Address
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import parse_qs

from pxefast.config import Report
from pxefast.errors import CannotBind, PxefastError
from pxefast.responder import descriptors, http
from pxefast.responder.heartbeat import Heartbeat, clock
from pxefast.responder.http import Refused
from pxefast.responder.report_connections import Connections
from pxefast.site.ledger import Ledger, ReportResult
from pxefast.site.ledger_events import Result

__all__ = ["Reported", "Reports"]

_SECONDS = 10.0
_BACKLOG = 128
_END_SECONDS = 2.0
_MOMENT_SECONDS = 0.1
_BEAT_SECONDS = 1.0
_MOST_FAILURES = 5
_FAILURE_SECONDS = 60.0
_LONGEST_TEXT = 256
_MOST_ADDRESSES = 4096

Kind = Literal["started", "done", "failed"]
_PATH = re.compile(r"/session/([0-9a-f]{32})/(started|done|failed)")
_STATUS: dict[Result, HTTPStatus] = {
    "accepted": HTTPStatus.OK,
    # The same for a session that is not there and for a wrong token: who guesses learns nothing.
    "no_session": HTTPStatus.FORBIDDEN,
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
    """Endpoint for reports, which listens; `start` serves. Raises CannotBind.

    `tell` gets each report, `say` a level and a text.
    """

    def __init__(
        self,
        settings: Report,
        listen: IPv4Address,
        ledger: Ledger,
        tell: Callable[[Reported], None],
        say: Callable[[str, str], None],
        opened: int | None = None,
    ) -> None:
        self._ledger = ledger
        self._tell = tell
        self._say = say
        self._connections = Connections(say, descriptors.connections())
        self._deciding: set[asyncio.Future[ReportResult]] = set()
        #: Life signs of the thread that answers reports.
        self.heart = Heartbeat("pxefast-reports", "reports have not been answered")
        self._failures: dict[str, deque[float]] = {}
        self._socket = (
            _bound(str(settings.address or listen), settings.port)
            if opened is None
            else socket.socket(fileno=opened)
        )
        self.port: int = self._socket.getsockname()[1]
        self._names = _own_names(settings)
        self._loop = asyncio.new_event_loop()
        self._pool = ThreadPoolExecutor(2, "pxefast-report")
        self._thread = threading.Thread(target=self._run, name="pxefast-reports", daemon=True)
        self._serving: Future[None] = Future()

    def start(self) -> None:
        """Serve in a thread of its own; connections are answered once this returns. Raises CannotBind."""
        self._thread.start()
        try:
            self._serving.result(_SECONDS)
        except OSError as error:
            address, port = self._socket.getsockname()[:2]
            why = error.strerror or f"its thread did not begin within {_SECONDS:.0f} s"
            raise CannotBind(f"cannot serve reports on TCP {address}:{port}: {why}") from None

    @property
    def counters(self) -> dict[str, int]:
        """Numbers of connections so far, by what became of them."""
        return dict(self._connections.counters)

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
        loop = self._loop
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(self._defect)
        self.heart.attach()
        try:
            self._server = loop.run_until_complete(
                asyncio.start_server(
                    self._connected, sock=self._socket, limit=http.HEAD_BYTES, backlog=_BACKLOG
                )
            )
        except OSError as error:
            loop.close()
            self._serving.set_exception(error)
            return
        self._beat()
        self._serving.set_result(None)
        loop.run_forever()
        self._server.close()
        loop.run_until_complete(self._end())
        # A thread that still decides wakes the loop once it has: that must not fail.
        if not self._deciding:
            loop.close()

    def _beat(self) -> None:
        self.heart.beat(clock())
        self._connections.tell_due()
        self._loop.call_later(_BEAT_SECONDS, self._beat)

    def _defect(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what asyncio would print as a traceback."""
        error = context.get("exception")
        what = context["message"] if error is None else f"{type(error).__name__}: {error}"
        self._say("error", f"a connection to the report port was lost to a defect of pxefast: {what}")

    async def _end(self) -> None:
        """Let reports that are being decided be answered, then end every connection."""
        if self._deciding:
            await asyncio.wait(self._deciding, timeout=_END_SECONDS)
            # Their senders hear of it in this moment.
            await asyncio.sleep(_MOMENT_SECONDS)
        tasks = asyncio.all_tasks() - {asyncio.current_task(), *self._deciding}
        for task in tasks:
            if task is not None:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_END_SECONDS)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("peername", ("",))[0]
        if not self._connections.admit(address, writer):
            writer.transport.abort()
            return
        try:
            async with asyncio.timeout(_SECONDS):
                writer.write(await self._answer(reader, writer, address))
                await writer.drain()
                # Read what it still sends, so that it hears the answer before the connection ends.
                writer.write_eof()
                await reader.read(1 << 16)
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            # The task is cancelled by `_end` alone, which waits for it.
            pass
        finally:
            writer.transport.abort()
            self._connections.ended(address, writer)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> bytes:
        try:
            request = await http.read(reader)
            self._connections.requested(address, writer)
            self._check_host(request, writer)
            return http.response(*await self._report(request, address))
        except Refused as refused:
            return http.response(refused.status, {"ok": False, "error": str(refused)})

    def _check_host(self, request: http.Request, writer: asyncio.StreamWriter) -> None:
        """Refuse a request that was meant for another host: a page whose name was rebound to this address (R-93)."""
        host = request.headers.get(b"host")
        if host is None:
            # HTTP/1.0, which no browser sends.
            return
        name, _, port = host.decode("latin-1").lower().partition(":")
        here = writer.get_extra_info("sockname", ("",))[0]
        if name.removesuffix(".") in (here, *self._names) and port in ("", str(self.port)):
            return
        self._connections.counters["report.wrong_host"] += 1
        text = (
            "the Host is none of this server's; to allow a name add it to names of [report] in pxefast.toml"
        )
        raise Refused(HTTPStatus.MISDIRECTED_REQUEST, text)

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
            # Shielded: the ledger decides, whatever becomes of the connection.
            result = await asyncio.shield(self._decided(session, token, kind, text))
        except PxefastError as error:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE, f"not known to be recorded, say it again: {error}"
            ) from None
        if result.result == "no_session":
            self._failed(address)
        self._tell(Reported(address, kind, text, session, result))
        said: dict[str, object] = {"ok": result.ok, "state": result.state}
        if not result.ok:
            said["error"] = result.reason.text
        return _STATUS.get(result.result, HTTPStatus.CONFLICT), said

    def _decided(self, session: str, token: str, kind: Kind, text: str) -> asyncio.Future[ReportResult]:
        decided = self._loop.run_in_executor(
            self._pool, lambda: self._ledger.report(session, token, kind, text, time.time())
        )
        self._deciding.add(decided)
        decided.add_done_callback(self._deciding.discard)
        return decided

    def _failed(self, address: str) -> None:
        if address not in self._failures and len(self._failures) >= _MOST_ADDRESSES:
            self._failures.pop(next(iter(self._failures)))
        self._failures.setdefault(address, deque(maxlen=_MOST_FAILURES)).append(time.monotonic())

    def _failed_often(self, address: str) -> bool:
        failures = self._failures.get(address)
        if failures is None or len(failures) < _MOST_FAILURES:
            return False
        return time.monotonic() - failures[0] < _FAILURE_SECONDS


def _own_names(settings: Report) -> frozenset[str]:
    """Names in lower case that mean this host, beside the address that a connection came to."""
    host = socket.gethostname().lower()
    return frozenset({"localhost", host, host.partition(".")[0], *(name.lower() for name in settings.names)})


def _bound(address: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((address, port))
        # Two sockets may be bound to one port; only one of them can listen.
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        advice = "; end what uses the port, or" if error.errno == errno.EADDRINUSE else ";"
        raise CannotBind(
            f"cannot listen on TCP {address}:{port}: {error.strerror}{advice} see [report] in pxefast.toml"
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
