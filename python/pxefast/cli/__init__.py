"""The command line. Nothing else in pxefast reads arguments, prints or exits.

Exit codes: 0 done, 1 an error, 2 a wrong command line, 3 cannot open or cannot bind.
"""

from __future__ import annotations

import os
import sys

from pxefast.errors import PxefastError

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run one command; `argv` without the program's name, by default the process's own."""
    from pxefast.cli.app import app

    try:
        app(args=argv, prog_name="pxefast")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else (0 if end.code is None else 1)
    except PxefastError as error:
        print(f"pxefast: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("pxefast: interrupted", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"pxefast: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if os.environ.get("PXEFAST_TRACEBACK") == "1":
            raise
        print(f"pxefast: {type(error).__name__}: {error}", file=sys.stderr)
        print("pxefast: this is a defect, please report it; PXEFAST_TRACEBACK=1 says where", file=sys.stderr)
        return 1
    return 0
