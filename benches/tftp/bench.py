"""One run: in a network namespace of its own, from the plan to the table."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..machine import machine
from . import table
from .measure import Case, Plan, measure
from .servers import SERVERS

ROOT = Path(__file__).parents[2]
CASES = (
    Case(1456, 1), Case(1456, 4), Case(1456, 16), Case(1456, 64),
    Case(8192, 16, mtu=9000), Case(8192, 16),
)  # fmt: skip
DEFAULT = Plan(CASES, tuple(SERVERS), clients=16, file_bytes=32 << 20, rounds=9)
QUICK = Plan(CASES, tuple(SERVERS), clients=16, file_bytes=16 << 20, rounds=3)


def run(plan: Plan = DEFAULT) -> dict[str, Any]:
    """The figures of this plan, measured in a network of its own, `text` among them: the table."""
    switches = [f"--servers={','.join(plan.servers)}", f"--rounds={plan.rounds}", f"--clients={plan.clients}",
                f"--mebibytes={plan.file_bytes >> 20}"]  # fmt: skip
    if not plan.uncut:
        switches.append("--cut")
    return apart("benches.tftp", "--json=-", *switches)


def section() -> dict[str, Any]:
    """The part of ../run.py."""
    figures = run()
    print(figures["text"])
    return figures


def apart(module: str, *switches: str) -> dict[str, Any]:
    """The figures that a module's script prints in a network of its own."""
    command = [*own_network(), sys.executable, "-m", module, "--inside", *switches]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.returncode)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def script(module: str, about: str, quick: str, measure: Callable[[bool], dict[str, Any]]) -> int:
    """What a module does as a program: measures in a network of its own, in a short form or not, and prints `text`."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there, too")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # this network is our own
    arguments = parser.parse_args()
    if arguments.inside:
        before = os.getloadavg()
        figures = measure(arguments.quick)
        progress("")
        loads = [before, os.getloadavg()]
        json.dump({"machine": machine(), "load_average": loads, **figures}, sys.stdout)
        return 0
    figures = apart(module, *(["--quick"] if arguments.quick else []))
    print(
        f"load average {figures['load_average'][0][0]:.1f} before, {figures['load_average'][1][0]:.1f} after"
    )
    print(figures["text"])
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def own_network() -> list[str]:
    """A network and a process space of its own: who is in it dies with it.

    With an address that is no loopback's: tftpd-hpa resolves none without (AI_ADDRCONFIG).
    """
    own = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        own.append("--map-root-user")
    return [*own, "sh", "-c", 'ip link set lo up && ip address add 192.0.2.1/32 dev lo && exec "$0" "$@"']


def here(plan: Plan, own: bool) -> dict[str, Any]:
    """The figures of this plan in this network, `text` among them; where it is our own, at each case's MTU."""
    load_before = os.getloadavg()
    results = measure(plan, _set_mtu if own else None, progress)
    progress("")
    rows = table.rows(plan, results)
    figures: dict[str, Any] = {
        "load_average": [load_before, os.getloadavg()],
        **table.data(plan, results, rows),
    }
    words = [_heading(plan, figures), "", table.text(rows), ""]
    words += [f"{name}: {why}" for name, why in results.absent.items()]
    for each in figures["budgets"]:
        kept = "kept" if each["kept"] else "MISSED"
        words.append(f"budget of {each['case']}: {each['ratio']:.2f} x {each['against']}, "
                     f"at most {each['budget']:.2f}: {kept}")  # fmt: skip
    return {**figures, "text": "\n".join(words)}


def _set_mtu(mtu: int) -> None:
    subprocess.run(["ip", "link", "set", "lo", "mtu", str(mtu)], check=True)


def _heading(plan: Plan, figures: dict[str, Any]) -> str:
    before, after = (f"{load[0]:.1f}" for load in figures["load_average"])
    cut = "" if plan.uncut else "windows cut by the server, "
    return (
        f"{plan.clients} clients, {plan.file_bytes >> 20} MiB each, {plan.rounds} rounds in turns, "
        f"{cut}every byte compared; load average {before} before, {after} after"
    )


def progress(words: str) -> None:
    """What is being done, to who looks on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)
