"""The claim-and-launch protocol as an explicit-state model: every state it can reach, or the shortest way to a bad one.

It shares nothing with the product. A model has machines that boot as often as they like, one ledger row each, any
number of servers, and a network that loses, repeats and delays for ever. Why it is small and still hides nothing:

- A message that was sent can be taken at any later time, any number of times, or never. So a server's steps (receive,
  commit, send) are one: to pause or die between them looks the same as a message that is late or lost. Servers keep
  nothing between steps, so any of them continues what another began (adoption), and their number does not matter.
- A machine that can ask has asked: its requests need no place in the state, and one of a former boot that is served
  late does to the ledger what one of this boot does.
- A data packet is for the port of one transfer of one boot. A reply is for one boot, unless `xid_reuse`: then a machine
  takes late replies to its former boots too.
- Time is not modelled: a session may be found young or old whenever its machine asks, and another deployment may return
  a claim at any moment.
- The machines are alike, so that states which differ by their order alone are one.

LAUNCHED stands for STARTED, DONE, FAILED and HOLD too: nothing leads from them to ARMED but a clear.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Literal, NamedTuple

__all__ = ["Found", "Machine", "Model", "State"]

Variant = Literal["strict", "naive", "nob2", "reserve", "keep-address"]

# OFF: another machine has its address. PXE: it asks. HAVE: it was told a file, and reads it. RUN: it was launched.
OFF, PXE, HAVE, RUN = range(4)
ARMED, CLAIMED, LAUNCHED = range(3)


class Machine(NamedTuple):
    """A machine and its ledger row. Sessions are numbered through all generations, and sets of them are bits.

    The ledger's are `row`, `generation`, `sessions` (how many there were in this generation) and `peer` (the row has
    the machine's address). `told` is the session of the file that the machine reads. On their way are `acks`, replies
    to it; `own` and `foreign`, last blocks for this boot's transfer, of its own sessions and of another machine's;
    `stale`, read requests of former boots (by address, whether there is one); `unsaid`, what was answered and is not
    recorded. `runs` are the generations in which it ran.
    """

    row: int = ARMED
    generation: int = 0
    sessions: int = 0
    peer: bool = False
    phase: int = PXE
    told: int = -1
    acks: int = 0
    own: int = 0
    foreign: bool = False
    stale: int = 0
    unsaid: int = 0
    runs: int = 0


State = tuple[Machine, ...]
Step = tuple[str, State, str | None]


class Found(NamedTuple):
    """The number of states that were reached; what was violated, if anything, and the shortest way there."""

    states: int
    violation: str | None
    trace: tuple[str, ...]


class Model(NamedTuple):
    """What is modelled. `sessions` a generation and `generations` are bounds; everything else in it is finite.

    `by_address`: a read request does not name its session, the ledger finds it by the address. `shared`: the machines
    have one address, one after another. `late`: requests and replies outlive their machine's address; if not, an
    address goes to another machine only when they are gone, as a lease's time makes sure.

    Variants that fail: `naive` answers first and records later; `nob2` claims durably and has no launch barrier;
    `reserve` serves a launched file again to its own session; `keep-address` lets an address belong to two claims.
    """

    machines: int = 1
    sessions: int = 3
    generations: int = 1
    by_address: bool = False
    shared: bool = False
    late: bool = True
    xid_reuse: bool = False
    variant: Variant = "strict"
    symmetric: bool = True

    def explore(self, only: str = "") -> Found:
        """Visit every state, the nearest first, up to a violation that begins with `only`."""
        first = tuple(Machine(phase=OFF if self.shared and i else PXE) for i in range(self.machines))
        before: dict[State, State | None] = {first: None}
        queue = deque([first])
        while queue:
            state = queue.popleft()
            for action, raw, violation in self.steps(state):
                if violation is not None and violation.startswith(only):
                    return Found(len(before), violation, (*self._way(before, state), action))
                after = self._one(raw)
                if after not in before:
                    before[after] = state
                    queue.append(after)
        return Found(len(before), None, ())

    def steps(self, state: State) -> Iterator[Step]:
        """What can happen next: what it is, the state after it, and what it violates."""
        for i, machine in enumerate(state):
            yield f"boot {i}", self._booted(state, i), None
            yield from self._receive(state, i, machine)
            yield from self._people_and_time(state, i, machine)
            if self.late or machine.phase != OFF:
                yield from self._ask(state, i, machine)
            if machine.phase == HAVE:
                yield from self._read(state, i, machine.told, "read")
            if self.by_address and machine.stale:
                yield from self._read(state, i, None, "late read")
            for session in () if self.by_address else _bits(machine.stale):
                yield from self._read(state, i, session, "late read", useful=False)

    def _booted(self, state: State, i: int) -> State:
        """Machine `i` starts anew; with one address for all, where the others were before."""
        after = list(state)
        for j, machine in enumerate(state):
            if j == i or (self.shared and machine.phase != OFF):
                asked = 0 if machine.phase != HAVE else 1 if self.by_address else 1 << machine.told
                after[j] = machine._replace(
                    phase=PXE if j == i else OFF,
                    told=-1,
                    acks=machine.acks if self.xid_reuse and (j == i or self.late) else 0,
                    own=0,
                    foreign=False,
                    stale=machine.stale | asked,
                )
        return tuple(after)

    def _receive(self, state: State, i: int, machine: Machine) -> Iterator[Step]:
        """What the machine takes from the network: a reply, or the last block, which launches it."""
        if machine.phase == PXE:
            for session in _bits(machine.acks):
                kept = machine.acks if self.xid_reuse else 0
                yield (
                    f"reply {i}",
                    _with(state, i, machine._replace(phase=HAVE, told=session, acks=kept)),
                    None,
                )
        if machine.phase != HAVE:
            return
        running = machine._replace(phase=RUN, told=-1, own=0, foreign=False)
        if machine.foreign:
            yield f"launch {i}", _with(state, i, running), "launched by another machine's session"
        for session in _bits(machine.own):
            generation = 1 << session // self.sessions
            ran = running._replace(runs=machine.runs | generation)
            again = "second launch in one generation" if machine.runs & generation else None
            yield f"launch {i}", _with(state, i, ran), again or _armed_again(ran)

    def _people_and_time(self, state: State, i: int, machine: Machine) -> Iterator[Step]:
        if machine.row == CLAIMED:
            returned = machine._replace(row=ARMED, peer=False)
            yield f"return {i}", _with(state, i, returned), _armed_again(returned)
        if machine.row != ARMED and machine.generation + 1 < self.generations:
            armed = machine._replace(row=ARMED, generation=machine.generation + 1, sessions=0, peer=False)
            yield f"clear {i}", _with(state, i, armed), None
        for session in _bits(machine.unsaid):
            recorded = machine._replace(row=LAUNCHED, unsaid=machine.unsaid & ~(1 << session))
            yield f"record {i}", _with(state, i, recorded), None

    def _ask(self, state: State, i: int, machine: Machine) -> Iterator[Step]:
        """A server serves a request for a boot file. A launched machine is denied."""
        if machine.row == CLAIMED:
            yield f"same {i}", self._claimed(state, i, machine), None
        if machine.row == LAUNCHED or machine.sessions == self.sessions:
            return
        fresh = machine._replace(sessions=machine.sessions + 1)
        if self.variant == "naive":
            said = 1 << self._session(fresh)
            answered = fresh._replace(acks=fresh.acks | said, unsaid=fresh.unsaid | said)
            yield f"answer {i}", _with(state, i, answered), None
        else:
            yield f"claim {i}", self._claimed(state, i, fresh), None

    def _claimed(self, state: State, i: int, machine: Machine) -> State:
        """The row is claimed for its newest session, and that is answered."""
        waits = machine.phase == PXE or self.xid_reuse
        acks = machine.acks | 1 << self._session(machine) if waits else machine.acks
        after = _with(state, i, machine._replace(row=CLAIMED, peer=self.by_address, acks=acks))
        if not self.shared or self.variant == "keep-address":
            return after
        return tuple(other if j == i else other._replace(peer=False) for j, other in enumerate(after))

    def _read(
        self, state: State, i: int, session: int | None, name: str, useful: bool = True
    ) -> Iterator[Step]:
        """A server is asked for the last block of the launch file. `useful`: the transfer still has its client."""
        machine = state[i]
        if self.variant in ("naive", "nob2"):
            if useful and session is not None:
                yield f"{name} {i}", _with(state, i, machine._replace(own=machine.own | 1 << session)), None
            return
        useful = useful and session is not None
        for j in self._rows(state, i, session):
            row = state[j]
            served = _with(state, j, row._replace(row=LAUNCHED))
            if useful and j == i:
                served = _with(served, i, served[i]._replace(own=served[i].own | 1 << self._session(row)))
            elif useful:
                served = _with(served, i, served[i]._replace(foreign=True))
            yield f"{name} {i}", served, None

    def _rows(self, state: State, i: int, session: int | None) -> list[int]:
        """Whose row a read request of machine `i` would launch: none, or the one, in some variants any of several."""
        if not self.by_address:
            row = state[i]
            open_ = row.row == CLAIMED or (row.row == LAUNCHED and self.variant == "reserve")
            return [i] if open_ and session == self._session(row) else []
        if not self.shared:
            return [i] if state[i].row == CLAIMED else []
        there = [j for j, row in enumerate(state) if row.row == CLAIMED and row.peer]
        return there if len(there) == 1 or self.variant == "keep-address" else []

    def _session(self, machine: Machine) -> int:
        """The newest session of its row."""
        return machine.generation * self.sessions + machine.sessions - 1

    def _one(self, state: State) -> State:
        """One state for all that behave alike: without read requests that nobody will ever serve, in one order."""
        if not self.by_address:
            state = tuple(
                machine._replace(stale=machine.stale & self._served(machine)) if machine.stale else machine
                for machine in state
            )
        return tuple(sorted(state)) if self.symmetric and len(state) > 1 else state

    def _served(self, machine: Machine) -> int:
        """The sessions whose late read requests still change the row."""
        if machine.row != CLAIMED or self.variant in ("naive", "nob2"):
            return 0
        return 1 << self._session(machine)

    def _way(self, before: dict[State, State | None], state: State) -> tuple[str, ...]:
        way: list[str] = []
        while (origin := before[state]) is not None:
            way.append(next(action for action, after, _ in self.steps(origin) if self._one(after) == state))
            state = origin
        return tuple(reversed(way))


def _armed_again(machine: Machine) -> str | None:
    ran = machine.runs >> machine.generation & 1
    return "armed after a launch" if ran and machine.row == ARMED else None


def _with(state: State, i: int, machine: Machine) -> State:
    return (*state[:i], machine, *state[i + 1 :])


def _bits(numbers: int) -> Iterator[int]:
    number = 0
    while numbers:
        if numbers & 1:
            yield number
        numbers >>= 1
        number += 1
