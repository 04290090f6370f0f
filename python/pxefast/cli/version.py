"""`pxefast version`: what this build is and what the kernel offers."""

from __future__ import annotations

import platform

from pxefast.cli.options import Json
from pxefast.cli.output import print_fields, print_json


def version(json: Json = False) -> None:
    """Show the version, how it was built, and what the kernel offers."""
    from pxefast import __version__, _native, decide

    facts: dict[str, object] = {
        "version": __version__,
        "build_profile": _native.build_profile,
        "decide_compiled": decide.compiled,
        "kernel": dict(_native.capabilities()),
        "python": platform.python_version(),
    }
    if json:
        print_json(facts)
    else:
        print_fields(facts)
