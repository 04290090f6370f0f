"""Every error pxefast raises on purpose. Each message says what is wrong and what to do next.

PxefastError            exit 1
├── UsageError          exit 2: the command line asks for something that cannot be asked
├── ConfigError         a setting, with its file and key
├── ExclusionError      a line of an exclusion list, with its file and number
├── SiteError           the site database refuses
│   ├── NotFound
│   ├── AlreadyExists
│   ├── InUse
│   ├── Invalid
│   └── Unconfirmed
├── ContentError        a boot image's files cannot be published
├── InputError          a file that a command was given is not what it should be
├── CannotOpen          exit 3: home, database or library missing or unreadable
│   ├── DatabaseReplaced
│   └── DatabaseDamaged
└── CannotBind          exit 3: a port or an address is taken or forbidden
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlreadyExists",
    "CannotBind",
    "CannotOpen",
    "ConfigError",
    "ContentError",
    "DatabaseDamaged",
    "DatabaseReplaced",
    "ExclusionError",
    "InUse",
    "InputError",
    "Invalid",
    "NotFound",
    "PxefastError",
    "SiteError",
    "Unconfirmed",
    "UsageError",
]


class PxefastError(Exception):
    """What every deliberate error of pxefast is."""

    exit_code: ClassVar[int] = 1


class UsageError(PxefastError):
    """The command line asks for something that cannot be asked."""

    exit_code = 2


class ConfigError(PxefastError):
    """A setting is unknown, of the wrong type or out of range."""

    def __init__(self, file: str, key: str, why: str) -> None:
        super().__init__(f"{file}: {key}: {why}" if key else f"{file}: {why}")
        self.file = file
        self.key = key
        self.why = why


class ExclusionError(PxefastError):
    """A line of an exclusion list is not a MAC address (R-52)."""

    def __init__(self, file: str, line: int, why: str) -> None:
        super().__init__(f"{file}: line {line}: {why}" if line else f"{file}: {why}")
        self.file = file
        self.line = line
        self.why = why


class SiteError(PxefastError):
    """The site database refuses a change or does not hold what was asked for."""


class NotFound(SiteError):  # noqa: N818  the name says what is wrong
    """Nothing by that name or id."""


class AlreadyExists(SiteError):  # noqa: N818  the name says what is wrong
    """The name, id, MAC address or SMBIOS GUID belongs to something else."""


class InUse(SiteError):  # noqa: N818  the name says what is wrong
    """It cannot be removed while something else needs it."""


class Invalid(SiteError):  # noqa: N818  the name says what is wrong
    """A value has the wrong form."""


class Unconfirmed(SiteError):  # noqa: N818  the name says what is wrong
    """So many devices are meant that their list must be confirmed by its hash (R-57)."""

    def __init__(self, text: str, count: int, list_hash: str) -> None:
        super().__init__(text)
        self.count = count
        self.list_hash = list_hash


class ContentError(PxefastError):
    """A boot image's files cannot be published."""


class InputError(PxefastError):
    """A file that a command was given is not what it should be; says file and place."""


class CannotOpen(PxefastError):  # noqa: N818  the name says what is wrong
    """The home, its database or its content library is missing or unreadable."""

    exit_code = 3


class DatabaseReplaced(CannotOpen):
    """The file of the site database is not the one that this process has opened."""


class DatabaseDamaged(CannotOpen):
    """The file of the site database is damaged, or is none."""


class CannotBind(PxefastError):  # noqa: N818  the name says what is wrong
    """A port or an address cannot be had."""

    exit_code = 3
