"""`pxefast status`: how the running service is."""

from __future__ import annotations

import time
from typing import Any

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import print_fields, print_json


def status(context: typer.Context, json: Json = False) -> None:
    """Show the running service: its ports, what it decided, what it dropped and why. Exit code 1 if none runs."""
    from pxefast.responder import status as file

    found = file.read(get(context).home / "run")
    if json:
        print_json({"running": found is not None, **(found or {})})
    elif found is None:
        print("not running; start it with: pxefast serve")
    else:
        _print(found)
    if found is None:
        raise typer.Exit(1)


def _print(found: dict[str, Any]) -> None:
    if not found:
        print("starting")
        return
    snapshot, off = found["snapshot"], found["required_off"]
    print_fields(
        {
            "running": f"pid {found['pid']}, pxefast {found['version']}, for {_duration(time.time() - found['since'])}",
            "site": f"{found['site']}, distribution point {found['distribution_point']}",
            "database": found["database"],
            "answers": "no, this is a dry run" if found["dry_run"] else found["answers"],
            "required": f"off: {off['text']}" if off else "on",
            "ports": ", ".join(f"{name} {port}" for name, port in found["ports"].items()),
            "segment offload": found["offload"],
            "decide compiled": found["decide_compiled"],
            "snapshot": f"{snapshot['devices']} devices, {snapshot['boot_images']} boot images, "
            f"{snapshot['excluded']} excluded, loaded {_duration(time.time() - snapshot['loaded'])} ago",
            "content": _content(found["content"]),
            "ledger": found["ledger"],
            "budget": _budget(found["budget"]),
            "decisions": found["actions"],
            "problems": found["problems"],
        }
    )
    print("\ncounters that moved:")
    for name, value in found["counters"].items():
        if value:
            print(f"  {name:<40}{value:>14,}")


def _content(work: dict[str, Any] | None) -> str:
    if work is None:
        return "nothing to bring"
    done = f", {100 * work['done'] // work['total']} %" if work.get("total") else ""
    return f"{work['image']}: {work['event']}{done}"


def _budget(budget: dict[str, Any] | None) -> str | None:
    if budget is None:
        return None
    if not budget["claims"]:
        return "off"
    spent = ", tripped" if budget["tripped_at"] else ""
    return f"{budget['used']} of {budget['claims']} required boots in {_duration(budget['seconds'])}{spent}"


def _duration(seconds: float) -> str:
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
