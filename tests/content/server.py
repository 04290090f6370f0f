"""A web server with ranges, which `http.server` alone has not, that serves a folder and can be told to misbehave."""

from __future__ import annotations

import re
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

# Given the path, the first byte and the bytes of an answer: what is sent instead. None: the connection ends at once.
Fault = Callable[[str, int, bytes], bytes | None]


class Web(ThreadingHTTPServer):
    """Serves `folder`. Counts the requests for blobs, and keeps the ranges that were asked for."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.fault: Fault | None = None
        self.ranges = True
        self.silent = threading.Event()
        self.asked: list[tuple[str, int]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        """Clients that go away are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Web

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        file = self.server.folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        size = file.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        whole = asked is None or not self.server.ranges
        first, last = (
            (0, size - 1) if whole or asked is None else (int(asked[1]), min(int(asked[2]), size - 1))
        )
        if not whole and first >= size:
            self.send_error(416)
            return
        self.server.asked.append((self.path, first))
        with file.open("rb") as reader:
            reader.seek(first)
            data: bytes | None = reader.read(last - first + 1)
        promised = len(data or b"")
        if self.server.silent.is_set():
            # Until the client has lost its patience.
            self.rfile.read(1)
            return
        if self.server.fault is not None and "/blobs/" in self.path:
            data = self.server.fault(self.path, first, data or b"")
        if data is None:
            self.close_connection = True
            return
        self.send_response(200 if whole else 206)
        self.send_header("Content-Length", str(promised))
        if not whole:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        if with_body:
            self.wfile.write(data)
            self.close_connection = len(data) < promised

    def log_message(self, *_: object) -> None:
        """Not into the tests' output."""


class Certified(NamedTuple):
    """A private CA's certificate, and that of 127.0.0.1 with its key in one file."""

    ca: Path
    server: Path


def certificates(folder: Path) -> Certified:
    """A private CA, and a certificate of it for 127.0.0.1, by openssl."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    openssl(*new, "-x509", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(*new, "-x509", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-keyout", "key.pem", "-out", "cert.pem")  # fmt: skip
    both = folder / "server.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return Certified(folder / "ca.pem", both)


@contextmanager
def web(folder: Path, certificate: Path | None = None) -> Iterator[Web]:
    """A server that runs until the block ends."""
    server = Web(folder)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
