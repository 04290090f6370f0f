"""All benches in one run: `make bench`, or `python benches/run.py [SECTION...] [--json FILE]`.

Each figure is a ratio to a peer measured in the same run; absolute times depend on the machine (README.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

import claims
import contents
import decisions
import packets
import snapshot
from machine import machine

from benches.tftp import bench as tftp
from benches.tftp import caps, loss, reflection, storm

SECTIONS = {
    "parse": packets.run,
    "decide": decisions.run,
    "snapshot": snapshot.run,
    "claims": claims.run,
    "tftp": tftp.section,
    "reflection": reflection.section,
    "storm": storm.section,
    "caps": caps.section,
    "loss": loss.section,
    "content": contents.run,
}


def main() -> int:
    from pxefast import _native

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="which (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    if _native.build_profile != "release":
        print("this is not a release build; benches measure nothing else", file=sys.stderr)
        return 1
    figures: dict[str, Any] = {"machine": machine()}
    print("machine:", ", ".join(f"{key} {value}" for key, value in figures["machine"].items()))
    for name in arguments.sections or SECTIONS:
        print(f"\n{name}")
        figures[name] = SECTIONS[name]()
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
