"""The same protocol step by step: servers that receive, commit and send, and a network of single packets.

One machine, two servers that may die between any two steps. Its states are far too many for larger bounds; it is there
to show that the reduced model reaches exactly what this one does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Unreduced"]

# row, generation, sessions of this generation, phase, session that the machine was told, generations that ran
Seen = tuple[str, int, int, str, int, int]
State = tuple[Any, ...]


class Unreduced(NamedTuple):
    """The bounds, and whether a rebooted machine takes replies to its former boots."""

    boots: int = 2
    sessions: int = 2
    generations: int = 1
    xid_reuse: bool = False

    def explore(self) -> tuple[int, set[Seen], bool]:
        """The number of states, what is seen of them from outside, and whether a generation ran twice."""
        first: State = (("ARMED", 0, 0), (None, None), frozenset(), (1, "PXE", -1), 0)
        seen = {first}
        queue = deque([first])
        twice = False
        while queue:
            for state in self._steps(queue.popleft()):
                row, servers, net, machine, runs = state
                twice = twice or runs < 0
                after = (row, tuple(sorted(servers, key=repr)), net, machine, runs)
                if runs >= 0 and after not in seen:
                    seen.add(after)
                    queue.append(after)
        return len(seen), {(*row, *machine[1:], runs) for row, _, _, machine, runs in seen}, twice

    def _steps(self, state: State) -> Iterator[State]:
        row, servers, net, (boot, phase, told), runs = state
        if phase == "PXE":
            yield row, servers, net | {("REQ", boot)}, (boot, phase, told), runs
        for kind, of, *session in net:
            if kind == "ACK" and phase == "PXE" and (of == boot or (self.xid_reuse and of < boot)):
                yield row, servers, net, (boot, "HAVE", session[0]), runs
            if kind == "DATA" and phase == "HAVE" and of == boot and session[0] == told:
                generation = 1 << told // self.sessions
                yield row, servers, net, (boot, "RUN", -1), -1 if runs & generation else runs | generation
        if phase == "HAVE":
            yield row, servers, net | {("RRQ", boot, told)}, (boot, phase, told), runs
        if boot < self.boots:
            yield row, servers, net, (boot + 1, "PXE", -1), runs
        name, generation, sessions = row
        if name == "CLAIMED":
            yield ("ARMED", generation, sessions), servers, net, state[3], runs
        if name != "ARMED" and generation + 1 < self.generations:
            yield ("ARMED", generation + 1, 0), servers, net, state[3], runs
        for i, doing in enumerate(servers):
            for new_row, then, sent in self._server(row, net, doing):
                others = (*servers[:i], then, *servers[i + 1 :])
                yield new_row, others, net | sent, state[3], runs

    def _server(self, row: Any, net: Any, doing: Any) -> Iterator[tuple[Any, Any, frozenset[Any]]]:
        """One step of a server: the row after it, what the server does next, and what it sent."""
        name, generation, sessions = row
        current = generation * self.sessions + sessions - 1
        nothing: frozenset[Any] = frozenset()
        if doing is None:
            for packet in net:
                if packet[0] in ("REQ", "RRQ"):
                    yield row, packet, nothing
            return
        yield row, None, nothing
        kind, boot, *rest = doing
        if kind in ("ACK", "DATA"):
            yield row, None, frozenset({doing})
        elif kind == "REQ":
            if name == "CLAIMED":
                yield row, ("ACK", boot, current), nothing
            if name != "LAUNCHED" and sessions < self.sessions:
                yield ("CLAIMED", generation, sessions + 1), ("ACK", boot, current + 1), nothing
        elif name == "CLAIMED" and rest[0] == current:
            yield ("LAUNCHED", generation, sessions), ("DATA", boot, current), nothing
