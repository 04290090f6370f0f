"""Settings of a running database that lose what it confirmed: noticed each minute, good again within seconds (R-76)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..loopback.point import Point
from ..loopback.service import Service, eventually

# pxefast whose database has an unsafe setting while the file `unsafe` is in the home. A file `minute` sets the clock
# of the thread that looks after the database forward by 61 s.
UNSAFE = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from pxefast.cli import main
from pxefast.responder import keeper
from pxefast.site.engines import Check
from pxefast.site.store import Store

home = Path(sys.argv[sys.argv.index("--home") + 1])
real = Store.check

def check(store, deep=True):
    found = real(store, deep)
    if not deep and (home / "unsafe").exists():
        found.append(Check("synchronous", "off", False, "set it to FULL"))
    return found

Store.check = check
later = lambda: time.monotonic() + (61 if (home / "minute").exists() else 0)
keeper.time = SimpleNamespace(**{**vars(time), "monotonic": later})
raise SystemExit(main())
"""


def off(point: Point) -> str | None:
    """The code of why required deployments are off, as the status says it; None: they are on."""
    why = point.home.status()["required_off"]
    return why and str(why["code"])


def test_an_unsafe_setting_stops_required_boots_until_it_is_mended(tmp_path: Path) -> None:
    with Point(tmp_path, serve=partial(Service, program=("-c", UNSAFE))) as point:
        home = point.home.folder
        machine, other = point.machine(), point.machine()
        assert machine.request().reply is not None
        (home / "unsafe").touch()
        (home / "minute").touch()
        eventually(lambda: off(point) == "database_unavailable", what="the look after a minute")
        refused = other.request()
        assert (refused.reply, refused.codes[-1]) == (None, "database_unavailable")
        assert "set it to FULL" in refused.event["reasons"][-1]["text"]
        (home / "unsafe").unlink()
        eventually(lambda: off(point) is None, what="the look after a second")
        assert other.request().reply is not None
