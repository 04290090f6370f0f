"""`pxefast tftp`: a folder by TFTP, read-only, without a site."""

from __future__ import annotations

import json as json_module
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Annotated
from urllib.parse import quote

import typer

from pxefast.cli.options import Json

# How often ended transfers are told, in seconds.
_STEP = 0.2
# Problems that are told one by one; a folder may have any number.
_MOST_PROBLEMS = 20
_TFTP_PORT = 69
# How long transfers under way may still take once it is told to end.
_DRAIN_SECONDS = 60.0


def tftp(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to serve.", show_default=False)],
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The IPv4 address to listen on.")
    ] = "0.0.0.0",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The UDP port; 0 takes any free one.")
    ] = _TFTP_PORT,
    block_max: Annotated[
        int,
        typer.Option(
            "--block-max",
            metavar="BYTES",
            help="The largest block, 512 to 65464; 0: what the path's MTU carries whole.",
        ),
    ] = 0,
    window_max: Annotated[
        int,
        typer.Option("--window-max", min=1, max=64, help="The most blocks before an acknowledgment."),
    ] = 64,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=0,
            max=64,
            help="Threads that send; 0: half as many as there are cores, at most 8.",
        ),
    ] = 0,
    json: Json = False,
) -> None:
    """Serve a folder by TFTP, read-only, until Ctrl-C. Needs no site, and nothing that `init` makes.

    Prints a line for each transfer that ends, and what cannot be served. What is added to the folder, replaced or
    removed counts within a second; a transfer under way keeps its file. Links that lead out of the folder are refused.

    Ctrl-C or SIGTERM lets transfers under way end first, for a minute at most; a second one cuts them.
    """
    from pxefast.responder.events import line_of, transfer_facts
    from pxefast.tftp.server import TftpServer

    def tell(event: str, level: str, text: str, **facts: object) -> None:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        told = {"time": now, "level": level, "event": event, "text": text, **facts}
        print(json_module.dumps(told) if json else line_of(told), flush=True)

    stop, at_once = Event(), Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: (at_once if stop.is_set() else stop).set())
    with TftpServer(
        folder, host=host, port=port, block_max=block_max, window_max=window_max, workers=workers
    ) as server:

        def tell_transfers() -> None:
            for transfer in server.transfers():
                tell("transfer", **transfer_facts(transfer))

        names, problems = server.names, server.problems
        command = f"curl --output /dev/null {_url(host, server.port, names)}"
        text = (
            f"{folder} is served read-only by TFTP at {host}:{server.port}, {_counted(names)}; Ctrl-C ends it"
        )
        if json:
            tell("serving", "info", text, host=host, port=server.port, files=len(names), **{"try": command})
        else:
            print(f"{text}\n{f'try: {command}' if names else 'copy a file into it'}", flush=True)
        for why in _shortened(problems):
            tell("not_served", "warning", why)
        while not stop.is_set():
            server.join(_STEP)
            tell_transfers()
            if server.names is not names:
                names, known, problems = server.names, set(problems), server.problems
                tell("folder", "info", f"the folder changed: {_counted(names)}", files=len(names))
                for why in _shortened([problem for problem in problems if problem not in known]):
                    tell("not_served", "warning", why)
        end = time.monotonic() + _DRAIN_SECONDS
        if not server.drain(0):
            left = len(server.live())
            text = f"transfers under way may take {_DRAIN_SECONDS:.0f} s more: {left}; Ctrl-C again cuts them"
            tell("ending", "info", text, transfers=left)
        while not at_once.is_set() and time.monotonic() < end and not server.drain(_STEP):
            tell_transfers()
        tell_transfers()
        counters = server.stats()
    tell("ended", "info", _ending(counters), counters=counters)


def _counted(names: Sequence[str]) -> str:
    return "1 file" if len(names) == 1 else f"{len(names)} files"


def _url(host: str, port: int, names: Sequence[str]) -> str:
    """Of the file with the shortest name, as this host can reach it."""
    address = "127.0.0.1" if host == "0.0.0.0" else host
    where = address if port == _TFTP_PORT else f"{address}:{port}"
    return f"tftp://{where}/{quote(min(names, key=len, default=''))}"


def _shortened(problems: Sequence[str]) -> Iterator[str]:
    yield from problems[:_MOST_PROBLEMS]
    if len(problems) > _MOST_PROBLEMS:
        yield f"and {len(problems) - _MOST_PROBLEMS} more are not served"


def _ending(counters: Mapping[str, int]) -> str:
    begun, complete = counters["tftp.started"], counters["tftp.ended.complete"]
    cut = begun - sum(count for name, count in counters.items() if name.startswith("tftp.ended."))
    return f"ended; of {begun} transfers {complete} were complete, {cut} were cut by this end"
