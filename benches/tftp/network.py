"""Two hosts for a bench: the server's, which is this network, and the clients', with as many addresses as they need."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER, CLIENT = "10.64.0.1", "10.64.0.2"
# Each of these is the clients' host; the server reaches them by way of CLIENT, for whom it needs one neighbour entry.
MANY, FIRST = "10.64.16.0/20", "10.64.16.1"
LINK = "bench0"


@dataclass(frozen=True)
class Clients:
    """Their host. `place` before a command runs it there."""

    place: tuple[str, ...]

    def run(self, *command: str) -> str:
        return run(*self.place, *command)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def _host() -> Iterator[tuple[int, Clients]]:
    """A network that lives as long as the process that holds it."""
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo && exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder.pid, Clients(("nsenter", f"--net=/proc/{holder.pid}/ns/net", "--"))
        holder.stdin.close()


def _address(clients: Clients) -> None:
    for place, address in (((), SERVER), (clients.place, CLIENT)):
        run(*place, "ip", "address", "add", f"{address}/24", "dev", LINK)
        run(*place, "ip", "link", "set", LINK, "mtu", "1500", "up")
    run("ip", "route", "add", MANY, "via", CLIENT)
    clients.run("ip", "route", "add", "local", MANY, "dev", "lo")


@contextmanager
def cable() -> Iterator[Clients]:
    """The kernel's virtual cable between the two: as fast as the processors. To be entered in a network of our own."""
    with _host() as (holder, clients):
        run("ip", "link", "add", LINK, "type", "veth", "peer", "name", LINK, "netns", str(holder))
        _address(clients)
        yield clients
        run("ip", "link", "delete", LINK)


@dataclass(frozen=True)
class Quality:
    """Of a cable: percent of its packets that are lost, doubled, and late, in each direction."""

    lost: float = 0
    doubled: float = 0
    late: float = 0

    def __str__(self) -> str:
        named = {"lost": self.lost, "doubled": self.doubled, "late": self.late}
        return ", ".join(f"{value:g} % {name}" for name, value in named.items() if value) or "all arrive"


@contextmanager
def link(program: Path, microseconds: int) -> Iterator[tuple[Clients, Callable[[Quality], None]]]:
    """A cable with a delay between the two, which link.c is, and how to change its quality."""
    with (
        _host() as (holder, clients),
        subprocess.Popen(
            [str(program), f"/proc/{holder}/ns/net", LINK, str(microseconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as carrier,
    ):
        assert carrier.stdin is not None
        assert carrier.stdout is not None
        lines, answers = carrier.stdin, carrier.stdout
        answers.readline()
        _address(clients)

        def become(quality: Quality) -> None:
            shares = [round(percent * 1e4) for percent in (quality.lost, quality.doubled, quality.late)]
            print(*shares, 1, file=lines, flush=True)
            if answers.readline() != "ready\n":
                raise OSError(f"{program} ended")

        yield clients, become
        lines.close()
