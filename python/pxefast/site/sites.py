"""Sites: the parts of a hierarchy, each with a three-character code of its own (CM-104)."""

from __future__ import annotations

import re
from typing import get_args

from sqlalchemy import Connection, func, insert, select

from pxefast.decide.records import Architecture
from pxefast.errors import Invalid
from pxefast.site import schema

__all__ = ["check_site_code", "insert_site"]

_CODE = re.compile(r"[A-Z0-9]{3}")
_FIRST_DEPLOYMENT = 0x20001
# Where Configuration Manager numbers them too: far above every device.
_FIRST_UNKNOWN = 2046820352


def check_site_code(code: str) -> None:
    """Raises Invalid unless this is a site code: three characters of A-Z and 0-9."""
    if not _CODE.fullmatch(code):
        raise Invalid(f"site code {code!r} must be three characters of A-Z and 0-9, such as PS1")


def insert_site(connection: Connection, code: str, parent: str | None) -> None:
    """A new site with its unknown computer objects, one an architecture (CM-92)."""
    connection.execute(
        insert(schema.site).values(code=code, parent=parent, next_object=1, next_deployment=_FIRST_DEPLOYMENT)
    )
    d = schema.device.c
    highest = connection.execute(select(func.max(d.id)).where(d.id >= _FIRST_UNKNOWN)).scalar()
    first = _FIRST_UNKNOWN if highest is None else highest + 1
    architectures = get_args(Architecture)
    names = [f"{architecture} Unknown Computer ({code})" for architecture in architectures]
    connection.execute(
        insert(schema.device),
        [
            {
                "id": first + position,
                "name": name,
                "key": name.casefold(),
                "site": code,
                "protected": False,
                "unknown_architecture": architecture,
            }
            for position, (name, architecture) in enumerate(zip(names, architectures, strict=True))
        ],
    )
