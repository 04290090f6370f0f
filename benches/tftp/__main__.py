"""The TFTP yardstick: one table of servers under the same load."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from ..machine import machine
from .bench import DEFAULT, QUICK, here, run
from .servers import SERVERS


def _names(words: str) -> tuple[str, ...]:
    names = tuple(words.split(","))
    if unknown := set(names) - set(SERVERS):
        raise argparse.ArgumentTypeError(f"no such server: {', '.join(sorted(unknown))}")
    return names


def main() -> int:
    from pxefast import _native

    parser = argparse.ArgumentParser(prog="python -m benches.tftp", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half the file, three rounds")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too; - is the output")
    parser.add_argument(
        "--servers", metavar="NAMES", type=_names, help=f"only these, with commas: {', '.join(SERVERS)}"
    )
    parser.add_argument("--rounds", type=int, help=f"default {DEFAULT.rounds}")
    parser.add_argument("--clients", type=int, help=f"default {DEFAULT.clients}")
    parser.add_argument("--mebibytes", type=int, help=f"a client's file; default {DEFAULT.file_bytes >> 20}")
    parser.add_argument(
        "--cut", action="store_true", help="the server's processor cuts windows into datagrams"
    )
    parser.add_argument(
        "--here", action="store_true", help="in this network and at its MTU, not in one of its own"
    )
    parser.add_argument(
        "--inside", action="store_true", help=argparse.SUPPRESS
    )  # the network is this run's own
    arguments = parser.parse_args()
    if _native.build_profile != "release":
        print("this is not a release build; benches measure nothing else", file=sys.stderr)
        return 1
    plan = QUICK if arguments.quick else DEFAULT
    plan = replace(
        plan,
        servers=arguments.servers or plan.servers,
        rounds=arguments.rounds or plan.rounds,
        clients=arguments.clients or plan.clients,
        file_bytes=(arguments.mebibytes << 20) if arguments.mebibytes else plan.file_bytes,
        uncut=not arguments.cut,
    )
    figures = here(plan, arguments.inside) if arguments.here or arguments.inside else run(plan)
    words = json.dumps({"machine": machine(), **figures}, indent=2) + "\n"
    if arguments.json == "-":
        sys.stdout.write(words)
        return 0
    print(figures["text"])
    if arguments.json:
        Path(arguments.json).write_text(words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
