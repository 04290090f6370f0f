"""`pxefast dp recommend`: which RamDisk TFTP sizes fit this host's networks, with the arithmetic behind it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import print_json, print_table
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pxefast.config import Tftp
    from pxefast.site.tftp_sizes import TftpSizes

_NETWORK = Path("/sys/class/net")

# What a block's datagram carries beside it: TFTP 4, UDP 8, IP 20 (W-110); the block is then in one piece.
_HEADERS, _IP = 32, 20
# Left free for a tag or a tunnel on the way, as Microsoft's own 1456 leaves it (W-112).
_ROOM = 12
# Firmware and most switches send frames of this size only, whatever this host's interface can.
_COMMON_MTU = 1500
# On the wire, W-105: all headers and gaps of a block's only frame, and what each fragment more costs.
_BESIDE_BLOCK, _BESIDE_FRAGMENT = 66, 54
# Between a window's last block and the next one's first: the boot manager's and its driver's own time (W-105).
_TURNAROUND = 0.0005
# Where the kernel knows no rate.
_USUAL_RATE = 1000
# A usual boot image, in bytes.
_IMAGE = 500_000_000
_WINDOWS = (1, 4, 8, 16, 32, 64)
# Boot drivers have room for 8 to 64 packets; a congested line wants fewer on their way (W-80, W-105).
_WINDOW, _WINDOW_OF_A_SLOW_LINK = 16, 8
_NOTICEABLE = 1.2
# What the service sends to one machine before an acknowledgement.
_IN_FLIGHT = 1 << 20
_LOOPBACK = 772
_SMALLEST_MTU = 512 + _HEADERS + _ROOM

_FORMULA = "W * B / (turnaround + W * (B + headers) * 8 / rate)"


class Link(NamedTuple):
    """A way to machines: an interface's name ("" for none), its MTU in bytes and its rate in Mbit/s (0: not known)."""

    name: str
    mtu: int
    rate: int


def packets(block: int, mtu: int) -> int:
    """How many IP packets a block is cut into; all but the last one hold a multiple of eight bytes."""
    data = block + _HEADERS - _IP
    return 1 if data <= mtu - _IP else -(-data // ((mtu - _IP) // 8 * 8))


def throughput(block: int, window: int, mtu: int, rate: int) -> float:
    """Bytes a second that one machine can reach at most, in a quiet network of `rate` Mbit/s (W-105)."""
    wire = block + _BESIDE_BLOCK + (packets(block, mtu) - 1) * _BESIDE_FRAGMENT
    return window * block / (_TURNAROUND + window * wire * 8 / (rate * 1e6))


def recommend(
    context: typer.Context,
    mtu: Annotated[
        int | None,
        typer.Option(
            "--mtu",
            metavar="N",
            min=_SMALLEST_MTU,
            max=65535,
            help="The smallest MTU on the way to the machines, such as 1420 behind a tunnel (default: that of each "
            "interface of this host).",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say which RamDisk TFTP sizes fit, what they gain, and how to set them. Nothing is changed.

    A block of at most MTU - 32 bytes travels in one piece. A window is how many blocks are on their way before the
    machine answers.
    """
    here = get(context)
    point = here.store().dps.get()
    links = [Link("", mtu, 0)] if mtu is not None else _links(point.interfaces)
    if not links:
        raise UsageError("no interface of this host has an MTU that machines could use; name one by --mtu N")
    from pxefast.site.tftp_sizes import TftpSizes

    now = TftpSizes(
        point.ramdisk_tftp_block_size, point.ramdisk_tftp_window_size, point.ramdisk_tftp_variable_window
    )
    advice = [_advice(link, now, here.settings.tftp) for link in links]
    # One that fits every interface; a boundary group may say more where more fits.
    block = min(item["recommended"]["block_size"] for item in advice)
    window = min(item["recommended"]["window_size"] for item in advice)
    commands = [] if now == (block, window, False) else [_command("dp set", "--ramdisk-", block, window)]
    for item in advice:
        best = item["recommended"]
        if (best["block_size"], best["window_size"]) != (block, window):
            commands.append(
                _command("boundary-group set NAME", "--", best["block_size"], best["window_size"])
            )
    # What was seen beats what was worked out.
    known = [item.lesson for item in here.store().learned_windows.all() if item.lesson.blocks < window]
    if json:
        told = {"formula": _FORMULA, "turnaround_seconds": _TURNAROUND, "image_bytes": _IMAGE}
        learned = {lesson.model: lesson.blocks for lesson in known}
        print_json(
            {**told, "interfaces": advice, "commands": list(dict.fromkeys(commands)), "learned": learned}
        )
        return
    for item in advice:
        _print(item)
    print(f"MB/s is {_FORMULA} with W blocks of B bytes, {_TURNAROUND * 1000:g} ms of turnaround.")
    for lesson in known:
        print(
            f"Machines of model {lesson.model} get {lesson.blocks} blocks a window: they lost some of {lesson.granted}."
        )
    print("To set what fits:" if commands else "What fits is set already.")
    for command in dict.fromkeys(commands):
        print(f"  {command}")


def _advice(link: Link, now: TftpSizes, limits: Tftp) -> dict[str, Any]:
    """What fits a link, beside what is set: sizes in bytes and blocks, megabytes a second, seconds for an image."""
    mtu, rate = link.mtu, link.rate or _USUAL_RATE
    whole = mtu - _HEADERS
    block = min(mtu, _COMMON_MTU) - _HEADERS - _ROOM
    window = _WINDOW if rate >= _USUAL_RATE else _WINDOW_OF_A_SLOW_LINK

    def figures(block: int, window: int) -> dict[str, Any]:
        speed = throughput(block, window, mtu, rate)
        return {
            "block_size": block,
            "window_size": window,
            "packets_a_block": packets(block, mtu),
            "megabytes_a_second": round(speed / 1e6, 1),
            "image_seconds": round(_IMAGE / speed),
        }

    granted = _granted(now, mtu, limits)
    return {
        "interface": link.name or None,
        "mtu": mtu,
        "megabits_a_second": link.rate or None,
        "largest_block_in_one_packet": whole,
        "now": {**figures(*granted), "variable_window": now.variable_window},
        "recommended": {**figures(block, window), "variable_window": False},
        "windows": [figures(block, each) for each in _WINDOWS],
        "why": _why(now, granted, link, throughput(block, window, mtu, rate)),
    }


def _granted(now: TftpSizes, mtu: int, limits: Tftp) -> tuple[int, int]:
    """Block and window that the service gives where a boot manager asks for what is set."""
    assert now.block_size is not None
    assert now.window_size is not None
    most = max(limits.max_block_size_windows, limits.max_block_size or mtu - _HEADERS)
    block = min(now.block_size, most)
    return block, min(now.window_size, limits.max_window_size, max(_IN_FLIGHT // block, 1))


def _why(now: TftpSizes, granted: tuple[int, int], link: Link, best: float) -> list[str]:
    """Why what is set is slow or fast on a link, in sentences."""
    block, window = granted
    mtu, rate = link.mtu, link.rate or _USUAL_RATE
    speed = throughput(block, window, mtu, rate)
    waiting = _TURNAROUND * speed / (window * block)
    pieces = packets(block, mtu)
    said = []
    if best > _NOTICEABLE * speed:
        said.append(
            f"slow: {waiting:.0%} of the time passes in waiting for the machine's answer to each {window * block:,} "
            f"bytes; {best / speed:.1f} times as fast is safe"
        )
    else:
        said.append(
            f"fast: {waiting:.0%} of the time passes in waiting for the machine's answers; larger windows wait less, "
            "and lose more where its driver has no room for them"
        )
    if pieces > 1:
        said.append(
            f"a block of {block} bytes is cut into {pieces} packets: one lost packet loses the block and all that "
            f"follow it in its window, {pieces} times as often; loaders other than Windows' own cannot put it together"
        )
    if granted != now[:2]:
        said.append(
            f"of blocks of {now.block_size} bytes and windows of {now.window_size} the service grants {block} and "
            f"{window}: see [tftp] in pxefast.toml, and 1 MiB on its way to one machine"
        )
    if now.variable_window:
        said.append(
            "the window varies: the machine may ask for larger ones than the first, which is counted with"
        )
    if mtu > _COMMON_MTU:
        said.append(
            f"blocks up to {mtu - _HEADERS} bytes would fit this interface, but only where every switch and every "
            f"machine's firmware takes frames of {mtu} bytes; few do"
        )
    return said


def _print(advice: dict[str, Any]) -> None:
    rate = advice["megabits_a_second"]
    known = f"{rate} Mbit/s" if rate else f"rate not known, {_USUAL_RATE} Mbit/s assumed"
    whole = advice["largest_block_in_one_packet"]
    print(
        f"{advice['interface']}: MTU {advice['mtu']}, {known}; up to {whole} bytes of a block in one packet"
    )
    now, best = advice["now"], advice["recommended"]
    lines = [
        ("set now", now),
        *(("recommended" if row == _plain(best) else "", row) for row in advice["windows"]),
    ]
    print_table(
        ("", "BLOCK", "WINDOW", "PACKETS A BLOCK", "MB/S", f"{_IMAGE // 10**6} MB IN"),
        [
            (
                label,
                row["block_size"],
                row["window_size"],
                row["packets_a_block"],
                row["megabytes_a_second"],
                f"{row['image_seconds']} s",
            )
            for label, row in lines
        ],
    )
    for sentence in advice["why"]:
        print(f"  {sentence}")


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "variable_window"}


def _command(what: str, prefix: str, block: int, window: int) -> str:
    return (
        f"pxefast {what} {prefix}tftp-block-size {block} {prefix}tftp-window-size {window} "
        f"{prefix.replace('--', '--no-', 1)}tftp-variable-window"
    )


def _links(answering: Sequence[str] | None) -> list[Link]:
    """The interfaces that are up, and those alone that the distribution point answers on."""
    from pxefast.responder.interfaces import interface_mac

    found = []
    for folder in sorted(_NETWORK.glob("*")):
        name, mtu = folder.name, _number(folder / "mtu")
        wanted = answering is None or name in answering or interface_mac(name) in answering
        # Of type 772 is the loopback; a state that is not known is that of a bridge or tunnel that works.
        if wanted and mtu >= _SMALLEST_MTU and _number(folder / "type") != _LOOPBACK and not _is_down(folder):
            found.append(Link(name, min(mtu, 65535), max(_number(folder / "speed"), 0)))
    return found


def _is_down(folder: Path) -> bool:
    try:
        return (folder / "operstate").read_text(encoding="ascii").strip() == "down"
    except OSError:
        return True


def _number(file: Path) -> int:
    """What the kernel says; 0 where it says nothing, as of the speed of an interface without a cable."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
