"""Variables of devices, deployments and collections, for the work that a machine is booted into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from pxefast.errors import Invalid, NotFound
from pxefast.site import schema
from pxefast.site.names import checked_variable, find
from pxefast.site.rules import refresh
from pxefast.site.tftp_sizes import sizes_of_variable

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["Owner", "Variable", "Variables"]

Owner = Literal["device", "deployment", "collection"]

_OWNERS = {
    "device": (schema.device, schema.device_variable),
    "deployment": (schema.deployment, schema.deployment_variable),
    "collection": (schema.collection, schema.collection_variable),
}


class Variable(NamedTuple):
    """A variable; a secret one never leaves over TFTP."""

    name: str
    value: str
    secret: bool


class Variables:
    """The variables of devices, those of deployments, or those of collections."""

    def __init__(self, store: Store, noun: Owner) -> None:
        self._store = store
        self._noun = noun
        self._owners, self._table = _OWNERS[noun]
        self._owner_id = self._table.c[f"{noun}_id"]

    def set(self, owner: str, name: str, value: str, secret: bool = False) -> Variable:
        """Set a variable of a device, deployment or collection. Raises Invalid or NotFound."""
        variable = Variable(checked_variable(name, value), value, secret)
        if sizes_of_variable(variable.name, value) is not None and secret:
            raise Invalid(
                f"variable {variable.name} sets a size, which the machine is told: it cannot be secret"
            )
        key = variable.name.casefold()
        with self._store.write(f"{self._noun} variable set", f"{owner}: {variable.name}") as connection:
            row = self._changeable(connection, owner)
            connection.execute(delete(self._table).where(self._owner_id == row.id, self._table.c.key == key))
            values = {self._owner_id.name: row.id, "key": key, **variable._asdict()}
            connection.execute(insert(self._table).values(values))
            self._changed(connection, row)
        return variable

    def remove(self, owner: str, name: str) -> None:
        """Remove a variable. Raises NotFound."""
        key = name.strip().casefold()
        with self._store.write(f"{self._noun} variable remove", f"{owner}: {name}") as connection:
            row = self._changeable(connection, owner)
            gone = delete(self._table).where(self._owner_id == row.id, self._table.c.key == key)
            if connection.execute(gone).rowcount == 0:
                raise NotFound(
                    f"{self._noun} {owner!r} has no variable {name!r}; "
                    f"see: pxefast {self._noun} variable list {owner!r}"
                )
            self._changed(connection, row)

    def all(self, owner: str) -> list[Variable]:
        """The variables of a device, deployment or collection, by name."""
        c = self._table.c
        with self._store.read() as connection:
            row = self._find(connection, owner)
            query = select(c.name, c.value, c.secret).where(self._owner_id == row.id).order_by(c.key)
            return [Variable(name, value, bool(secret)) for name, value, secret in connection.execute(query)]

    def _find(self, connection: Connection, owner: str) -> Any:
        if self._noun == "deployment":
            return find(connection, self._owners, "id", owner.strip().upper(), self._noun)
        return find(connection, self._owners, "key", owner.strip().casefold(), self._noun)

    def _changeable(self, connection: Connection, owner: str) -> Any:
        row = self._find(connection, owner)
        if self._noun == "device" and row.unknown_architecture is not None:
            raise Invalid(
                f"{row.name!r} stands for many machines: they read the variables of its collections alone; "
                "use: pxefast collection variable set"
            )
        return row

    def _changed(self, connection: Connection, row: Any) -> None:
        if self._noun == "device":
            refresh(connection, devices=[row.id])
