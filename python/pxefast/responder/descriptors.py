"""Open files: a service needs enough of them, and its connections take no more than their share."""

from __future__ import annotations

import resource

from pxefast.errors import CannotOpen

__all__ = ["check", "connections"]

# As native/sys/descriptors.rs shares them.
_LEAST = 256
_MOST_CONNECTIONS = 256


def check() -> None:
    """Raise the soft limit of open files to the hard one. Raises CannotOpen where that is too low for a service."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most != resource.RLIM_INFINITY and most < _LEAST:
        raise CannotOpen(
            f"cannot serve: at most {most} files may be open, and the service needs {_LEAST}, so that transfers leave "
            "enough to the database and the journal; raise the limit with LimitNOFILE= of the unit, or with ulimit -n"
        )


def connections() -> int:
    """How many connections the report port may have at once."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if limit == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, limit // 4)
