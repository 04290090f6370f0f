"""Policy: the hierarchy's settings as they are kept and read.

A setting that has its default is not kept, so that a better default reaches everyone who never chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from pxefast.decide.placeholders import both_orders
from pxefast.decide.records import Policy
from pxefast.errors import NotFound
from pxefast.site import schema
from pxefast.site.settings import SETTINGS, Setting, Value

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["Policies", "SettingRow", "SitePolicy", "read_placeholders", "read_policy"]


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
    does with hardware that another device has (CM-66). `placeholder_guids` are canonical, separated by commas (D30).
    """

    decision: Policy = field(default_factory=Policy)
    budget_claims: int = 50
    budget_seconds: int = 600
    confirm_above: int = 20
    collection_default_size: int = 100
    collection_maximum_size: int = 0
    conflicting_records: Literal["block", "merge", "new"] = "block"
    placeholder_guids: str = ""


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


def read_placeholders(connection: Connection) -> frozenset[str]:
    """Return the GUIDs that the operator added to the placeholders, each in both byte orders (D30)."""
    kept = select(schema.setting.c.value).where(schema.setting.c.name == "placeholder_guids")
    text = connection.execute(kept).scalar_one_or_none()
    return both_orders(text.split(",")) if text else frozenset()


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
