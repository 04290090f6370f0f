"""`pxefast replay FILE`: what this distribution point would have decided on the requests of a capture."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pxefast.cli import machine
from pxefast.cli.capture import Capture, Datagram
from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import JsonArray, note
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast._native import DhcpPacket
    from pxefast.cli.context import Context
    from pxefast.decide import Decision, Request
    from pxefast.decide.records import Door

_DHCP, _BOOT = 67, 4011
_BROADCAST = "255.255.255.255"
_NOBODY = "0.0.0.0"
_SERVER_IDENTIFIER = 54


class _Dropped(Exception):  # noqa: N818  no question to us; its text is the name that the service counts it by
    pass


class Outcome(NamedTuple):
    """One request of the capture and what was decided."""

    time: float | None
    request: Request
    decision: Decision


def replay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A capture: pcap or pcapng.")],
    mac: Annotated[
        str | None,
        typer.Option("--mac", metavar="M", help="Show this machine's requests alone.", show_default=False),
    ] = None,
    interface: Annotated[
        str | None,
        typer.Option(
            "--interface",
            metavar="IF",
            help="As if heard on this interface (default: the first one the distribution point answers on).",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say what would be decided on each PXE request of a capture, in order.

    The site, the settings and the ledger are those of now, as if the capture began now; the times shown are its own.
    Nothing is sent and nothing is changed: what would be claimed is remembered for the rest of the capture, and each
    boot program that is named counts as started, so that a second start is refused. Read are UDP packets over IPv4 to
    the ports 67 and 4011, of pcap and pcapng files.
    """
    from pxefast.decide import normal_mac

    wanted = None if mac is None else normal_mac(mac)
    if mac is not None and wanted is None:
        raise UsageError(f"--mac {mac!r} is not a MAC address; write it as 01:23:45:67:89:ab or alike")
    here = get(context)
    with Capture(file, (_DHCP, _BOOT)) as capture:
        played = _Replay(here, interface)
        outcomes = (
            outcome for outcome in played.outcomes(capture) if wanted is None or outcome.request.mac == wanted
        )
        if json:
            with JsonArray() as array:
                for outcome in outcomes:
                    array.add(_as_dict(outcome))
        else:
            for outcome in outcomes:
                _print(outcome)
        _summary(capture, played.questions, played.dropped)


class _Replay:
    """The site as it is now, and what the capture makes of it in memory."""

    def __init__(self, here: Context, interface: str | None) -> None:
        point = machine.point(here)
        # What the capture claims is written into this site and nowhere else.
        self._hardware = dict(point.site.hardware)
        self._site = replace(point.site, hardware=self._hardware)
        self._point = replace(point, site=self._site)
        self._interface = interface
        self._accepts_82 = here.settings.dhcp.option82_without_giaddr == "echo"
        self._now = time.time()
        self._began: float | None = None
        self.questions = 0
        self.dropped: Counter[str] = Counter()

    def outcomes(self, capture: Capture) -> Iterator[Outcome]:
        """The decision on each question, claims of earlier ones included."""
        for datagram in capture:
            try:
                request = self._request(datagram)
            except _Dropped as dropped:
                self.dropped[str(dropped)] += 1
                continue
            self.questions += 1
            decision = self._point.decide(request)
            self._claim(request, decision)
            yield Outcome(datagram.time, request, decision)

    def _request(self, datagram: Datagram) -> Request:
        from pxefast import _native
        from pxefast.decide import Request

        try:
            packet = _native.parse_dhcp(datagram.payload)
        except _native.WireError as error:
            raise _Dropped(error.what) from None
        door = _door(packet, datagram, self._accepts_82)
        if datagram.time is not None:
            self._began = datagram.time if self._began is None else self._began
            now = self._now + datagram.time - self._began
        else:
            now = self._now
        giaddr = None if packet.giaddr == "0.0.0.0" else packet.giaddr
        loader = packet.loader
        request = Request(
            packet.mac or "", packet.guid, packet.architecture, True, packet.ipxe, door, packet.secs,
            packet.xid, "", giaddr, now, wds=loader is not None,
            loader_architecture=None if loader is None else loader.architecture, peer=_peer(packet, datagram, door),
        )  # fmt: skip
        return machine.heard(request, self._site.dp, self._interface)

    def _claim(self, request: Request, decision: Decision) -> None:
        """What the ledger and the view would remember of it.

        No mark is returnable: a capture does not show that nothing was started.
        """
        from pxefast.decide import Mark
        from pxefast.decide.identity import card_of
        from pxefast.responder.shape import names_program

        if decision.deployment is None or not names_program(request, decision, self._point.dhcp):
            return
        number = self._number(decision) if decision.claim else decision.device_id
        if number is None or decision.action not in machine.BOOTS:
            return
        marks = self._site.marks.setdefault(decision.deployment, {})
        old, now = marks.get(number), request.now
        if old is not None and old.continues(request.step, request.xid, now, self._site.session_seconds):
            mark = replace(
                old, step=request.step, xid=request.xid, stepped_at=now, returnable=False,
                mac=card_of(request) if old.mac is None or old.peer is None else old.mac,
                peer=request.peer or old.peer,
            )  # fmt: skip
        else:
            armed, generation = (now, 0) if old is None else (old.armed_at, old.generation)
            mark = Mark(
                decision.deployment, generation, "CLAIMED", armed, now, request.step, request.xid, "", now,
                mac=card_of(request), peer=request.peer,
            )  # fmt: skip
        marks[number] = mark
        if decision.claim:
            self._site.live[number] = mark

    def _number(self, decision: Decision) -> int | None:
        """The device's number, or one for hardware that the ledger sees for the first time."""
        if decision.device_id is not None or not decision.identities:
            return decision.device_id
        number = -len(self._hardware) - 1
        self._hardware.update(dict.fromkeys(decision.identities, number))
        return number


def _door(packet: DhcpPacket, datagram: Datagram, accepts_82: bool) -> Door:
    """Return what a packet asks, by the service's own rules. Raises _Dropped with the name of its counter.

    Which server the capture was made for is not known: one that is asked at its own address is taken to be this one,
    and where everybody was asked the one that the packet names.
    """
    from pxefast import _native

    server = datagram.destination
    if server == _BROADCAST:
        server = _dotted(dict(packet.options).get(_SERVER_IDENTIFIER, b""))
    asked, dropped = _native.classify_dhcp(
        datagram.payload,
        port=datagram.port,
        server=server,
        accept_option82_without_giaddr=accepts_82,
    )
    if asked is None:
        raise _Dropped(dropped)
    return asked


def _peer(packet: DhcpPacket, datagram: Datagram, door: Door) -> str | None:
    """The client's own address, by the rule of responder.cases.peer_of."""
    if door == "discover":
        return None
    hidden = packet.giaddr != "0.0.0.0" or datagram.source == "0.0.0.0"
    if hidden:
        return None if packet.ciaddr == "0.0.0.0" else packet.ciaddr
    return datagram.source


def _dotted(address: bytes) -> str:
    return str(IPv4Address(address)) if len(address) == 4 else _NOBODY


def _print(outcome: Outcome) -> None:
    request, decision = outcome.request, outcome.decision
    name = f" ({decision.device})" if decision.device else ""
    through = f" through {request.giaddr}" if request.giaddr else ""
    client = "loader's " if request.wds else "iPXE " if request.ipxe else ""
    print(
        f"{_time(outcome.time)}  {request.mac or request.guid}{name}  {client}{request.door}{through}: "
        f"{machine.said(decision)}"
    )


def _as_dict(outcome: Outcome) -> dict[str, object]:
    request = outcome.request
    return {
        "time": _time(outcome.time),
        "mac": request.mac,
        "guid": request.guid,
        "architecture": request.architecture,
        "door": request.door,
        "ipxe": request.ipxe,
        "wds": request.wds,
        "secs": request.secs,
        "relay": request.giaddr,
        **outcome.decision.as_dict(),
    }


def _time(seconds: float | None) -> str | None:
    """ISO 8601 in UTC; None for no time, or one that no calendar has."""
    try:
        moment = None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _summary(capture: Capture, questions: int, dropped: Counter[str]) -> None:
    counts = dict(capture.counts)
    packets = counts.pop("packets", 0)
    left = ", ".join(f"{count:,} {name}" for name, count in sorted((counts | dropped).items()))
    note(f"{packets:,} packets, {questions:,} of them questions" + (f"; left out: {left}" if left else ""))
    if capture.damage is not None:
        note(f"{capture.file} is damaged at {capture.damage}; what follows was not read")
