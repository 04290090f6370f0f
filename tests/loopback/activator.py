"""What systemd does for a service with socket units: opens sockets, and becomes the service (sd_listen_fds(3)).

    activator.py NAME=KIND:ADDRESS:PORT... [PROGRAM ARGUMENT...] -- ARGUMENTS OF PXEFAST

KIND is udp, tcp or udp6; a PORT that is no number is not bound. PROGRAM, such as setpriv, runs the service.
"""

from __future__ import annotations

import os
import re
import socket
import sys

FIRST = 3
KINDS = {
    "udp": (socket.AF_INET, socket.SOCK_DGRAM),
    "tcp": (socket.AF_INET, socket.SOCK_STREAM),
    "udp6": (socket.AF_INET6, socket.SOCK_DGRAM),
}
SOCKET = re.compile(r"(\w+)=(udp|tcp|udp6):(.*):(\w+)")


def opened(name: str, kind: str, address: str, port: str) -> tuple[str, socket.socket]:
    found = socket.socket(*KINDS[kind])
    if port.isdecimal():
        found.bind((address, int(port)))
    return name, found


def main() -> None:
    end = sys.argv.index("--")
    before, service = sys.argv[1:end], sys.argv[end + 1 :]
    matches = [SOCKET.fullmatch(what) for what in before]
    sockets = [opened(*match.groups()) for match in matches if match]
    program = [what for what, match in zip(before, matches, strict=True) if not match]
    # Out of the way of the numbers that they get.
    away = [os.dup2(found.fileno(), 100 + place) for place, (_, found) in enumerate(sockets)]
    for place, descriptor in enumerate(away):
        os.dup2(descriptor, FIRST + place, inheritable=True)
        os.close(descriptor)
    names = ":".join(name for name, _ in sockets)
    told = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names}
    command = [*program, sys.executable, "-m", "pxefast", *service]
    os.execvpe(command[0], command, {**os.environ, **told})


if __name__ == "__main__":
    main()
