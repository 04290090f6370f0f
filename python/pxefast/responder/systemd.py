"""What systemd gives the service, and what it is told of the service's life."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence

from pxefast.errors import CannotBind

__all__ = ["given_sockets", "tell_systemd"]

# sd_listen_fds(3): the first of the descriptors that were given.
_FIRST = 3


def tell_systemd(*states: str) -> None:
    """sd_notify(3), where systemd asked for it: assignments such as `READY=1`, all at once."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        try:
            text = "\n".join(state.replace("\n", " ") for state in states)
            notify.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            return


def given_sockets(kinds: Mapping[str, int]) -> dict[str, int]:
    """The sockets that systemd opened for this process, by name (sd_listen_fds(3)); no child of ours inherits them.

    `kinds` are the names that a service knows, each with SOCK_DGRAM or SOCK_STREAM. Raises CannotBind for what it does
    not know, or cannot use as what it is called.
    """
    try:
        if int(os.environ.get("LISTEN_PID", "")) != os.getpid():
            return {}
        count = int(os.environ.get("LISTEN_FDS", ""))
    except ValueError:
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    given: dict[str, int] = {}
    for place in range(count):
        descriptor, name = _FIRST + place, names[place] if place < len(names) else ""
        problem = _problem(descriptor, name, kinds, given)
        if problem is not None:
            raise CannotBind(
                f"systemd gave a socket named {name!r}, {problem}; see FileDescriptorName= and Listen..= "
                "of the socket units"
            )
        os.set_inheritable(descriptor, False)
        given[name] = descriptor
    return given


def _problem(descriptor: int, name: str, kinds: Mapping[str, int], given: Mapping[str, int]) -> str | None:
    """Why a descriptor cannot be used as the socket of this name."""
    if name not in kinds:
        return f"but there are only {_listed(list(kinds))}"
    if name in given:
        return "which it had given already"
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            family, kind, bound = found.family, found.type, found.getsockname()
    except OSError as error:
        return f"which is none: {error.strerror}"
    if family != socket.AF_INET:
        return "which is not of IPv4"
    if kind != kinds[name]:
        return f"which is not of {'UDP' if kinds[name] == socket.SOCK_DGRAM else 'TCP'}"
    return None if bound[1] else "which is bound to no port"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
