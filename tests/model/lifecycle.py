"""Two required deployments of one machine as an explicit-state model: settling, removal, holds and late reports.

It shares nothing with the product. `protocol.py` models one deployment on several machines; this one models what two
deployments do to each other. The network loses, repeats and delays replies and read requests for ever, as there.

Time is one step, `time`: it may happen at any moment after a launch, and at no moment before it. `busy` is the truth
that no ledger row can change: a launch whose end nobody reported, that time did not settle and that no person cleared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Literal, NamedTuple

__all__ = ["Found", "Lifecycle"]

Variant = Literal[
    "strict",
    "rearm-on-remove",
    "settle-to-armed",
    "early-settle",
    "hold-settles",
    "started-settles",
    "forget-withdrawn",
    "open-gate",
    "late-start",
]

ARMED, CLAIMED, LAUNCHED, STARTED, HOLD, DONE, WITHDRAWN, CLEARED = range(8)
LIVE = (CLAIMED, LAUNCHED, STARTED)
UNREPORTED = (LAUNCHED, STARTED, HOLD, WITHDRAWN)
NOBODY = -1
# The state that a variant does not see.
_BLIND: dict[Variant, int] = {
    "early-settle": LAUNCHED,
    "started-settles": STARTED,
    "hold-settles": HOLD,
    "forget-withdrawn": WITHDRAWN,
}


class Row(NamedTuple):
    """The ledger row of one deployment. `launched`: a transfer was let through; `old`: its launch has settled."""

    state: int = ARMED
    generation: int = 0
    sessions: int = 0
    launched: bool = False
    old: bool = False


class State(NamedTuple):
    """The rows, and what is outside of the ledger.

    `told` is the session whose launch file the machine reads, `running` the one whose work it was launched with. `acks`
    and `reads` are the sessions whose replies and read requests are on their way, `data` those whose last block is.
    `runs` are the sessions that were launched, `busy` the launches (by deployment) that nothing has ended.
    """

    rows: tuple[Row, Row] = (Row(), Row())
    removed: tuple[bool, bool] = (False, False)
    busy: tuple[bool, bool] = (False, False)
    told: int = NOBODY
    running: int = NOBODY
    acks: int = 0
    reads: int = 0
    data: int = 0
    runs: int = 0


class Found(NamedTuple):
    """The number of states that were reached; what was violated, if anything, and the shortest way there."""

    states: int
    violation: str | None
    trace: tuple[str, ...]


class Lifecycle(NamedTuple):
    """What is modelled. `sessions` a generation and `generations` are bounds; everything else in it is finite.

    Variants that fail: `rearm-on-remove` lets a clear arm a removed deployment; `settle-to-armed` returns a settled
    launch; `early-settle` settles a launch at once; `hold-settles`, `started-settles` and `forget-withdrawn` do so to a
    held, started or withdrawn one; `open-gate` launches a withdrawn session; `late-start` looks at other launches when
    it claims and not when it launches.
    """

    sessions: int = 1
    generations: int = 2
    variant: Variant = "strict"

    def explore(self) -> Found:
        """Visit every state, the nearest first, up to a violation."""
        first = State()
        before: dict[State, tuple[State, str] | None] = {first: None}
        queue = deque([first])
        while queue:
            state = queue.popleft()
            for action, after, wrong in self._steps(state):
                violation = wrong or self._violation(after)
                if violation is not None:
                    return Found(len(before), violation, (*_way(before, state), action))
                if after not in before:
                    before[after] = (state, action)
                    queue.append(after)
        return Found(len(before), None, ())

    def _steps(self, state: State) -> Iterator[tuple[str, State, str | None]]:
        """What can happen next: what it is, the state after it, and what that step violates."""
        yield "boot", state._replace(told=NOBODY, running=NOBODY, data=0), None
        if state.running == NOBODY and state.told == NOBODY:
            for session in _bits(state.acks):
                yield f"reply {self._name(session)}", state._replace(told=session), None
        if state.told != NOBODY:
            yield from self._read(state, state.told, "read", useful=True)
            if state.data >> state.told & 1:
                ran = state._replace(running=state.told, told=NOBODY, data=0)
                again = any(self._of(one) == self._of(state.told) for one in _bits(state.runs))
                wrong = "second launch in one generation" if again else None
                yield f"run {self._name(state.told)}", ran._replace(runs=state.runs | 1 << state.told), wrong
        for session in _bits(state.reads):
            yield from self._read(state, session, "late read", useful=False)
        for number in (0, 1):
            yield from self._ask(state, number)
            yield from self._people(state, number)
            yield from self._time(state, number)
        for session in _bits(state.runs):
            yield from self._report(state, session)

    def _ask(self, state: State, number: int) -> Iterator[tuple[str, State, str | None]]:
        """A server is asked for a boot file: it claims the deployment, or goes on with its session."""
        row = state.rows[number]
        if row.state == CLAIMED:
            yield f"same {number}", state._replace(acks=state.acks | 1 << self._session(number, row)), None
        if row.state != ARMED or state.removed[number] or row.sessions == self.sessions:
            return
        other = state.rows[1 - number]
        if self._blocks(other):
            return
        made = _with(state, number, row._replace(state=CLAIMED, sessions=row.sessions + 1))
        if other.state == CLAIMED:
            made = _with(made, 1 - number, other._replace(state=ARMED))
        elif other.state in (LAUNCHED, STARTED):
            settled = ARMED if self.variant == "settle-to-armed" else HOLD
            made = _with(made, 1 - number, other._replace(state=settled))
        wrong = "claimed before another launch was settled" if state.busy[1 - number] else None
        session = 1 << self._session(number, made.rows[number])
        yield f"claim {number}", made._replace(acks=made.acks | session), wrong

    def _blocks(self, other: Row) -> bool:
        """True if no other deployment may be claimed because of this row."""
        unsettled = other.launched and not other.old and other.state in UNREPORTED
        return (other.state == STARTED or unsettled) and _BLIND.get(self.variant) != other.state

    def _read(
        self, state: State, session: int, name: str, useful: bool
    ) -> Iterator[tuple[str, State, str | None]]:
        """A server is asked for the last block of the launch file; it launches a claimed session and no other."""
        number, _ = self._of(session)
        row = state.rows[number]
        asked = state._replace(reads=state.reads | 1 << session)
        if asked != state:
            yield f"{name} {self._name(session)} unheard", asked, None
        open_ = row.state == CLAIMED or (row.state == WITHDRAWN and self.variant == "open-gate")
        if not open_ or session != self._session(number, row):
            return
        if self.variant != "late-start" and self._blocks(state.rows[1 - number]):
            return
        wrong = None
        if state.removed[number]:
            wrong = "launched after its removal"
        elif state.busy[1 - number]:
            wrong = "launched before another launch was settled"
        after = _with(asked, number, row._replace(state=LAUNCHED, launched=True))
        after = after._replace(busy=_set(after.busy, number, True))
        yield (
            f"{name} {self._name(session)}",
            after._replace(data=after.data | 1 << session if useful else after.data),
            wrong,
        )

    def _people(self, state: State, number: int) -> Iterator[tuple[str, State, str | None]]:
        """An operator removes a deployment, or clears it on the machine."""
        row = state.rows[number]
        if not state.removed[number]:
            ended = row if row.state == DONE else row._replace(state=WITHDRAWN)
            removed = state._replace(removed=_set(state.removed, number, True))
            yield f"remove {number}", _with(removed, number, ended), None
        if row.state in (ARMED, CLEARED):
            return
        free = state._replace(busy=_set(state.busy, number, False))
        if state.removed[number] and self.variant != "rearm-on-remove":
            yield f"clear {number}", _with(free, number, row._replace(state=CLEARED)), None
        elif row.generation + 1 < self.generations:
            yield f"clear {number}", _with(free, number, Row(generation=row.generation + 1)), None

    def _time(self, state: State, number: int) -> Iterator[tuple[str, State, str | None]]:
        """Time returns a claim at any moment, holds what says nothing, and settles a launch."""
        row = state.rows[number]
        if row.state == CLAIMED:
            yield f"return {number}", _with(state, number, row._replace(state=ARMED)), None
        if row.state in LIVE:
            yield f"sweep {number}", _with(state, number, row._replace(state=HOLD)), None
        if row.launched and not row.old and row.state in (LAUNCHED, HOLD, WITHDRAWN):
            settled = state._replace(busy=_set(state.busy, number, False))
            yield f"time {number}", _with(settled, number, row._replace(old=True)), None

    def _report(self, state: State, session: int) -> Iterator[tuple[str, State, str | None]]:
        """The boot environment of a session reports its start or its end, however late."""
        number, generation = self._of(session)
        row = state.rows[number]
        if row.generation != generation or row.state not in UNREPORTED:
            return
        if session == state.running:
            alone = state.rows[1 - number].state not in LIVE
            begun = row._replace(old=False)
            if row.state != WITHDRAWN and alone:
                begun = begun._replace(state=STARTED)
            on = state._replace(busy=_set(state.busy, number, True))
            yield f"started {self._name(session)}", _with(on, number, begun), None
        ended = state._replace(busy=_set(state.busy, number, False))
        yield f"done {self._name(session)}", _with(ended, number, row._replace(state=DONE)), None

    def _violation(self, state: State) -> str | None:
        """What must never be true of a state."""
        if sum(row.state in LIVE for row in state.rows) > 1:
            return "two live rows"
        for number, row in enumerate(state.rows):
            if state.removed[number] and row.state in (ARMED, *LIVE):
                return "alive after its removal"
            ran = any(self._of(session) == (number, row.generation) for session in _bits(state.runs))
            if ran and row.state == ARMED:
                return "armed after a launch"
        return None

    def _session(self, number: int, row: Row) -> int:
        """The newest session of a row."""
        return (number * self.generations + row.generation) * self.sessions + row.sessions - 1

    def _of(self, session: int) -> tuple[int, int]:
        """The deployment and generation of a session."""
        return divmod(session // self.sessions, self.generations)

    def _name(self, session: int) -> str:
        number, generation = self._of(session)
        return f"{number}.{generation}.{session % self.sessions}"


def _with(state: State, number: int, row: Row) -> State:
    return state._replace(rows=(row, state.rows[1]) if number == 0 else (state.rows[0], row))


def _set(pair: tuple[bool, bool], number: int, value: bool) -> tuple[bool, bool]:
    return (value, pair[1]) if number == 0 else (pair[0], value)


def _way(before: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    way: list[str] = []
    while (step := before[state]) is not None:
        state, action = step
        way.append(action)
    return tuple(reversed(way))


def _bits(numbers: int) -> Iterator[int]:
    number = 0
    while numbers:
        if numbers & 1:
            yield number
        numbers >>= 1
        number += 1
