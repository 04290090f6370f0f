"""Policy: the hierarchy's settings, each with its default, what Configuration Manager does, and its rule.

A setting that has its default is not kept, so that a better default reaches everyone who never chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from pxefast.decide.records import Policy
from pxefast.errors import Invalid, NotFound
from pxefast.site import schema

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["SETTINGS", "Policies", "Setting", "SettingRow", "SitePolicy", "Value", "read_policy"]

Value = bool | int | str

# Nothing here counts that far.
_MOST = 1_000_000


class Setting(NamedTuple):
    """A setting that can be made. `values` are its words, or the least and greatest number; () is yes or no."""

    name: str
    default: Value
    configmgr: Value
    rule: str
    meaning: str
    values: tuple[str, ...] | tuple[int, int] = ()

    def parse(self, text: str) -> Value:
        """A value from what a person wrote. Raises Invalid."""
        word = text.strip().lower()
        if not self.values:
            if word in ("yes", "no"):
                return word == "yes"
            raise Invalid(f"{self.name} {text!r} must be yes or no")
        least = self.values[0]
        if isinstance(least, int):
            if word.isascii() and word.isdecimal() and least <= int(word) <= int(self.values[1]):
                return int(word)
            raise Invalid(f"{self.name} {text!r} must be a number from {least} to {self.values[1]}")
        if word not in self.values:
            raise Invalid(f"{self.name} {text!r} must be {' or '.join(str(value) for value in self.values)}")
        return word


class SettingRow(NamedTuple):
    """A setting and what it is now."""

    setting: Setting
    value: Value


@dataclass(frozen=True)
class SitePolicy:
    """All settings: `decision` holds those that boot decisions depend on.

    `budget_claims` in any `budget_seconds` trip the budget, 0 is no budget (D6). More than `confirm_above` machines
    need a confirmation (D5). A collection of a required deployment is warned of above `collection_default_size`
    members and refused above `collection_maximum_size`, 0 is off (CM-82). `conflicting_records` says what an import
    does with hardware that another device has (CM-66).
    """

    decision: Policy = field(default_factory=Policy)
    budget_claims: int = 50
    budget_seconds: int = 600
    confirm_above: int = 20
    collection_default_size: int = 100
    collection_maximum_size: int = 0
    conflicting_records: Literal["block", "merge", "new"] = "block"


SETTINGS = (
    Setting(
        "approve_new_members",
        True,
        False,
        "D5",
        "machines that join a collection after a required deployment wait for `deployment approve`",
    ),
    Setting(
        "armed_hours", 24, 0, "D5", "hours after which an unused required boot expires; 0: never", (0, 87600)
    ),
    Setting(
        "boot_image_of",
        "claimed",
        "highest-id",
        "CM-101",
        "the boot image is that of the deployment that is run, or of the highest id of both purposes",
        ("claimed", "highest-id"),
    ),
    Setting(
        "budget_claims",
        50,
        0,
        "D6",
        "required boots in budget_seconds, then all stop; 0: no limit",
        (0, _MOST),
    ),
    Setting("budget_seconds", 600, 600, "D6", "the time in which budget_claims are counted", (1, 604800)),
    Setting(
        "collection_default_size",
        100,
        100,
        "CM-82",
        "a larger target of a required deployment is warned of",
        (0, _MOST),
    ),
    Setting(
        "collection_maximum_size",
        0,
        0,
        "CM-82",
        "a larger target of a required deployment is refused; 0: none",
        (0, _MOST),
    ),
    Setting(
        "compatible_architectures",
        "older",
        "current",
        "CM-105",
        "a BIOS x64 machine takes x64 and x86 boot images (older), or x64 alone (current)",
        ("older", "current"),
    ),
    Setting("confirm_above", 20, _MOST, "D5", "more machines than this are named by --confirm", (0, _MOST)),
    Setting(
        "conflicting_records",
        "block",
        "merge",
        "CM-66",
        "an import of hardware that another device has is refused, merged into it, or made a new device",
        ("block", "merge", "new"),
    ),
    Setting(
        "hidden_deployments",
        "preferred",
        "preferred",
        "CM-69",
        "hidden deployments boot only by SMSTSPreferredAdvertID, or like available ones",
        ("preferred", "listed"),
    ),
    Setting(
        "identity_conflict",
        "deny",
        "lenient",
        "T17",
        "a machine that matches two devices gets nothing, or the nearer of both",
        ("deny", "lenient"),
    ),
    Setting(
        "max_returns", 5, _MOST, "R-80", "broken boots before the machine is held for a person", (0, _MOST)
    ),
    Setting(
        "no_deployment_bios",
        "abort",
        "abort",
        "CM-89",
        "a BIOS machine with nothing to boot is sent on to its disk, or not answered",
        ("abort", "ignore"),
    ),
    Setting(
        "no_deployment_uefi",
        "ignore",
        "ignore",
        "CM-89",
        "a UEFI machine with nothing to boot is sent on to its disk, or not answered",
        ("abort", "ignore"),
    ),
    Setting(
        "required_for_unknown", False, True, "R-51", "machines without a record take required deployments"
    ),
    Setting(
        "schedules",
        "ignore",
        "ignore",
        "CM-75",
        "availability and expiry of deployments are ignored, or enforced",
        ("ignore", "enforce"),
    ),
)

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_OF_DECISION = frozenset(item.name for item in fields(Policy))


class Policies:
    """The settings of a hierarchy."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[SettingRow]:
        """All settings, by name."""
        with self._store.read() as connection:
            kept = _kept(connection)
        return [SettingRow(setting, kept.get(setting.name, setting.default)) for setting in SETTINGS]

    def set(self, name: str, text: str) -> SettingRow:
        """Change a setting. Raises NotFound or Invalid."""
        setting = _find(name)
        value = setting.parse(text)
        with self._store.write("setting set", f"{setting.name} {_word(value)}") as connection:
            connection.execute(delete(schema.setting).where(schema.setting.c.name == setting.name))
            if value != setting.default:
                connection.execute(insert(schema.setting).values(name=setting.name, value=_word(value)))
        return SettingRow(setting, value)

    def reset(self, name: str) -> SettingRow:
        """Give a setting its default again. Raises NotFound."""
        setting = _find(name)
        return self.set(setting.name, _word(setting.default))


def read_policy(connection: Connection) -> SitePolicy:
    """The policy as one value. Raises Invalid for a value that this pxefast does not know."""
    kept = _kept(connection)
    decision = Policy(**_part(kept, _OF_DECISION))  # type: ignore[arg-type]  # parsed by its Setting
    return SitePolicy(decision, **_part(kept, kept.keys() - _OF_DECISION))  # type: ignore[arg-type]


def _part(kept: Mapping[str, Value], names: frozenset[str] | set[str]) -> dict[str, Value]:
    return {name: value for name, value in kept.items() if name in names}


def _kept(connection: Connection) -> dict[str, Value]:
    rows = connection.execute(select(schema.setting.c.name, schema.setting.c.value))
    return {name: _find(name).parse(value) for name, value in rows}


def _find(name: str) -> Setting:
    wanted = name.strip().lower().replace("-", "_")
    if wanted not in _BY_NAME:
        near = get_close_matches(wanted, _BY_NAME)
        hint = f"did you mean {' or '.join(near)}?" if near else "see: pxefast setting list"
        raise NotFound(f"there is no setting {name!r}; {hint}")
    return _BY_NAME[wanted]


def _word(value: Value) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
