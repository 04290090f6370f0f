"""What a boot session is handed beside its boot program: files that are in memory alone, and private DHCP options.

A Windows boot manager reads in option 252 where its boot configuration data is, and Windows PE in option 243 where its
variables are (W-57 to W-60). Microsoft's loaders are told by option 250 whether to ask a person, or to wait (W-61 to
W-70). Nothing here is ever on a disk, so that nothing is left behind (CM-124).
"""

from __future__ import annotations

import re
import secrets
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

from pxefast.content import bcd
from pxefast.content.namespace import ramdisk_paths
from pxefast.decide import Decision, Policy, Reason, Request, Site
from pxefast.site.session_facts import Ask, SessionFacts

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Handout", "ask_of", "handout", "new_stem", "ramdisk", "ramdisk_reason", "waiting"]

_VARIABLES, _LOADER, _STORE = 243, 250, 252
_ENV = "session.env"
# Where boot managers look for their store that were not told, or did not read, option 252 (B-2).
_STORE_NAMES = ("Boot/BCD", "EFI/Microsoft/Boot/BCD")
# A session's variables that pxefast itself tells; no variable of the site takes their place.
_OWN = "PXEFAST_"
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# No shell does anything with these. A tilde, even after a colon, is not among them.
_SHELL_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]*")
_MOST_BYTES = 65_536


class Handout(NamedTuple):
    """What goes with one answer: arguments of `Server.answer`, and what is told of it.

    `left_out` says in sentences which variables could not be told.
    """

    files: list[tuple[str, _native.MemoryFile]]
    options: list[tuple[int, bytes]]
    block_size: int = 0
    store: bcd.Ramdisk | None = None
    left_out: tuple[str, ...] = ()


def new_stem(number: int) -> str:
    """`SMSTemp\\<date>.<number>.{<128 random bits>}`, as Configuration Manager names a request's files (CM-117)."""
    bits = secrets.token_hex(16).upper()
    guid = "-".join((bits[:8], bits[8:12], bits[12:16], bits[16:20], bits[20:]))
    return f"SMSTemp\\{time.strftime('%Y.%m.%d.%H.%M.%S', time.gmtime())}.{number % 10_000:04}.{{{guid}}}"


def ask_of(decision: Decision, site: Site, address: str | None, relay: str | None) -> Ask:
    """What to ask the database for a machine that is about to boot."""
    number = decision.device_id
    if decision.device is None:
        # A machine without a record reads what its unknown computer object's collections say (CM-96).
        stand_in = site.unknown.get(decision.architecture or "")
        number = None if stand_in is None else stand_in.id
    windows = decision.kind == "windows-pe"
    return Ask(number, decision.deployment or "", decision.boot_image if windows else None, address, relay)


def ramdisk(decision: Decision, facts: SessionFacts, policy: Policy) -> bcd.Ramdisk:
    """What the boot configuration data of this boot says."""
    assert decision.boot_image is not None
    assert decision.launch_file is not None
    paths = ramdisk_paths(decision.boot_image, decision.launch_file)
    return bcd.Ramdisk(
        wim_path=paths.wim,
        block_size=facts.block_size.value,
        window_size=facts.window_size.value,
        variable_window=facts.variable_window.value,
        firmware=cast(bcd.Firmware, decision.firmware),
        sdi_path=paths.sdi,
        font_path=paths.fonts,
        shape=policy.windows_bcd_shape,
    )


def ramdisk_reason(facts: SessionFacts) -> Reason:
    """How the image is loaded, and where each value comes from."""
    block, window, variable = facts.block_size, facts.window_size, facts.variable_window
    text = (
        f"the RAM disk is loaded in blocks of {block.value} bytes ({block.source}), {window.value} a window "
        f"({window.source}), {'variable' if variable.value else 'fixed'} ({variable.source})"
    )
    return Reason("ramdisk_sizes", "; ".join((text, *facts.ignored)), "CM-45")


def handout(
    decision: Decision,
    request: Request,
    loader: _native.Loader | None,
    policy: Policy,
    own: Mapping[str, str],
    facts: SessionFacts,
    stem: str,
) -> Handout:
    """Everything that goes with the answer that names a boot program. `own` are pxefast's own variables.

    Raises ContentError for a store that cannot be made, ValueError for more variables than a session may hold.
    """
    from pxefast import _native

    # Windows PE reads NAME=VALUE lines with `for /f`, which knows no quotes; everything else has a shell.
    windows = decision.kind == "windows-pe"
    text, left_out = _variables(own, facts, _plain if windows else _quoted)
    variables = _native.MemoryFile(text)
    if not windows:
        return Handout([(_ENV, variables)], [], left_out=left_out)
    store = ramdisk(decision, facts, policy)
    file = _store(store)
    files = [
        (f"{stem}.boot.bcd", file),
        *((name, file) for name in _STORE_NAMES),
        (f"{stem}.boot.var", variables),
        (_ENV, variables),
    ]
    return Handout(
        files, _options(decision, request, loader, policy, stem), store.block_size, store, left_out
    )


def waiting(decision: Decision, request: Request, policy: Policy) -> list[tuple[int, bytes]]:
    """The options of an answer to a loader that shall ask again until a person has decided (W-69, E-7)."""
    number = decision.device_id if decision.device_id is not None else zlib.crc32(request.mac.encode())
    return [
        (
            _LOADER,
            _sub(2, b"\x01")
            + _sub(5, struct.pack("!I", number & 0xFFFFFFFF))
            + _sub(3, struct.pack("!H", policy.pending_poll_seconds))
            + _sub(4, struct.pack("!H", policy.pending_poll_count))
            + _sub(6, b"Waiting for approval\0")
            + _sub(14, b"\0")
            + b"\xff",
        )
    ]


@lru_cache(256)
def _store(ramdisk: bcd.Ramdisk) -> _native.MemoryFile:
    """One store for all sessions that are told the same."""
    from pxefast import _native

    return _native.MemoryFile(bcd.build(ramdisk))


def _options(
    decision: Decision, request: Request, loader: _native.Loader | None, policy: Policy, stem: str
) -> list[tuple[int, bytes]]:
    """Options 243 (type 1 and no other, for type 2 is the key to what it names), 250 and 252 (W-58, W-60).

    At most 200 bytes, codes and lengths included: the least answer that anybody takes has room for them (W-8).
    """
    options = []
    if policy.option_243:
        path = f"\\{stem}.boot.var".encode()
        options.append((_VARIABLES, bytes([1, len(path)]) + path))
    told = _told(decision, request, loader, policy)
    if told:
        options.append((_LOADER, told))
    end = b"\0" if policy.option_252_nul else b""
    options.append((_STORE, f"\\{stem}.boot.bcd".encode() + end))
    return options


def _told(
    decision: Decision, request: Request, loader: _native.Loader | None, policy: Policy
) -> bytes | None:
    """What a loader is told about the last program: whether to ask a person first (W-70), and that its wait is over."""
    asks = decision.action == "prompt" and policy.windows_uefi_prompt == "wdsmgfw"
    if (
        asks
        and request.wds
        and decision.firmware == "uefi"
        and not (loader is not None and loader.prompt_done)
    ):
        told = _sub(11, b"\x01")
    elif policy.option_250_in_final_ack == "always" or (
        request.wds and policy.option_250_in_final_ack == "echo"
    ):
        told = _sub(11, b"\x02") if decision.firmware == "uefi" else b""
    else:
        return None
    if policy.option_250_in_final_ack == "always" or (loader is not None and loader.request_id is not None):
        told += _sub(2, b"\x01") + _sub(14, b"\x01")
    return told + b"\xff" if told else None


def _sub(code: int, value: bytes) -> bytes:
    return bytes([code, len(value)]) + value


def _plain(name: str, value: str) -> str | None:
    """Return a line with the value as it is; None for what is not one line of NAME=VALUE."""
    if any(sign in name + value for sign in "\0\r\n") or "=" in name:
        return None
    return f"{name}={value}"


def _quoted(name: str, value: str) -> str | None:
    """Return a line that a POSIX shell reads as an assignment and nothing else; None where there is none.

    A value without special characters stays as it is, for readers that know no quotes.
    """
    if _SHELL_NAME.fullmatch(name) is None or any(sign in value for sign in "\0\r\n"):
        return None
    if _SHELL_PLAIN.fullmatch(value) is not None:
        return f"{name}={value}"
    inside = value.replace("'", "'\\''")
    return f"{name}='{inside}'"


def _variables(
    own: Mapping[str, str], facts: SessionFacts, line_of: Callable[[str, str], str | None]
) -> tuple[bytes, tuple[str, ...]]:
    """Return lines in UTF-8, and sentences for the variables that are left out.

    A line cannot hold a line's end: such a value, which only an older database has, is left out.
    """
    form = "one line of NAME=VALUE" if line_of is _plain else "a shell variable with a value of one line"
    lines = [line for key, value in own.items() if (line := line_of(key, value)) is not None]
    left_out = []
    for name, fact in facts.variables.items():
        if name.upper().startswith(_OWN):
            left_out.append(f"variable {name} ({fact.source}) is left out: {_OWN}.. are pxefast's own")
        elif (line := line_of(name, fact.value)) is None:
            left_out.append(f"variable {name!r} ({fact.source}) is left out: it is not {form}")
        else:
            lines.append(line)
    text = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
    if len(text) > _MOST_BYTES:
        raise ValueError(f"its variables are {len(text)} bytes; a session's file holds {_MOST_BYTES}")
    return text, tuple(left_out)
