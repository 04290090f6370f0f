"""The command line. Nothing else in pxefast reads arguments, prints or exits.

Exit codes: 0 done, 1 an error, 2 a wrong command line, 3 cannot open or cannot bind, 130 interrupted.
"""

from __future__ import annotations

import os
import sys

from pxefast.errors import PxefastError

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run one command; `argv` without the program's name, by default the process's own."""
    _open_standard_streams()
    try:
        # Here, so that Ctrl-C ends also a command that is only being loaded without a traceback.
        from pxefast.cli.app import command

        command(args=argv, prog_name="pxefast")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else (0 if end.code is None else 1)
    except PxefastError as error:
        print(f"pxefast: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("pxefast: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"pxefast: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except Exception as error:
        if os.environ.get("PXEFAST_TRACEBACK") == "1":
            raise
        if _lacks_memory(error):
            print(
                "pxefast: out of memory, or too many processes; raise the limit (MemoryMax= and TasksMax= of the unit; "
                "ulimit -v and -u), or free memory",
                file=sys.stderr,
            )
            return 1
        print(f"pxefast: {type(error).__name__}: {error}", file=sys.stderr)
        print("pxefast: this is a defect, please report it; PXEFAST_TRACEBACK=1 says where", file=sys.stderr)
        return 1
    return 0


def _open_standard_streams() -> None:
    """Whichever the caller has closed goes to nowhere: else the database could be what errors are written into."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")


def _lacks_memory(error: Exception) -> bool:
    """Return True if an error says that the process may have no more memory, or no more threads."""
    # Python says the second by a plain RuntimeError.
    return isinstance(error, MemoryError) or str(error) == "can't start new thread"
