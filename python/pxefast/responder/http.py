"""One HTTP/1.1 request, read strictly: what two programs could read in two ways is refused (R-90).

No chunks, no folded lines, no bare line ends, nothing twice, at most 8 KiB of head and 4 KiB of body.
"""

from __future__ import annotations

import asyncio
import json
import re
from http import HTTPStatus
from typing import NamedTuple

__all__ = ["HEAD_BYTES", "Refused", "Request", "read", "response"]

HEAD_BYTES = 8192
_BODY_BYTES = 4096
_MOST_HEADERS = 64

_START = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_ONCE = (b"content-length", b"host", b"authorization", b"transfer-encoding")


class Refused(Exception):  # noqa: N818  an answer, not a fault
    """The request ends with this status."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class Request(NamedTuple):
    """A request: `target` as it was sent, header names in lower case."""

    method: str
    target: str
    headers: dict[bytes, bytes]
    body: bytes


async def read(reader: asyncio.StreamReader) -> Request:
    """The request that a client sends. Raises Refused, or EOFError when it went away."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too long") from None
    start, *lines = head[:-4].split(b"\r\n")
    found = _START.fullmatch(start)
    if found is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 request")
    if len(lines) > _MOST_HEADERS:
        text = f"{len(lines)} headers; send at most {_MOST_HEADERS}"
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
    headers: dict[bytes, bytes] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "a header is malformed")
        name = header[1].lower()
        if name in headers and name in _ONCE:
            raise Refused(HTTPStatus.BAD_REQUEST, f"{name.decode()} twice")
        headers[name] = header[2]
    if b"transfer-encoding" in headers:
        raise Refused(HTTPStatus.BAD_REQUEST, "send a Content-Length, not chunks")
    if found[3] == b"1" and b"host" not in headers:
        raise Refused(HTTPStatus.BAD_REQUEST, "no Host")
    length = headers.get(b"content-length", b"0")
    if not re.fullmatch(rb"[0-9]{1,18}", length):
        raise Refused(HTTPStatus.BAD_REQUEST, "Content-Length is no number")
    if int(length) > _BODY_BYTES:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {_BODY_BYTES} bytes")
    body = await reader.readexactly(int(length))
    return Request(found[1].decode(), found[2].decode(), headers, body)


def response(status: HTTPStatus, said: dict[str, object]) -> bytes:
    """A whole response with a JSON body; the connection ends with it."""
    body = json.dumps(said).encode() + b"\n"
    more = {
        HTTPStatus.METHOD_NOT_ALLOWED: "Allow: POST\r\n",
        HTTPStatus.UNAUTHORIZED: "WWW-Authenticate: Bearer\r\n",
        HTTPStatus.TOO_MANY_REQUESTS: "Retry-After: 60\r\n",
    }.get(status, "")
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n{more}\r\n"
    )
    return head.encode() + body
