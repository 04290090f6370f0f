"""Boot images: what a machine can be booted with, and the boot program for each kind of client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from sqlalchemy import Connection, delete, insert, select, update

from pxefast.decide.records import Architecture
from pxefast.errors import InUse, Invalid
from pxefast.site import schema
from pxefast.site.names import find, listed, new_name, site_code

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["ARCHITECTURES", "FIRMWARES", "BootImageRow", "BootImages"]

ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
FIRMWARES = ("bios", "uefi", "ipxe")


class BootImageRow(NamedTuple):
    """A boot image as the site keeps it; `source` is the folder that `content distribute` copies.

    `launch_file` is the latest file without which the work cannot begin; None where its operator named none.
    """

    id: str
    name: str
    architecture: Architecture
    source: Path
    programs: dict[str, str]
    pxe_enabled: bool
    launch_file: str | None = None
    site: str = ""


class BootImages:
    """The boot images of a site database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self,
        name: str,
        architecture: Architecture,
        source: Path,
        programs: Mapping[str, str],
        wanted_id: str | None = None,
        pxe_enabled: bool = True,
        *,
        launch_file: str | None = None,
        site: str | None = None,
    ) -> BootImageRow:
        """A new boot image; `programs` maps bios, uefi and ipxe to a file of the folder, with `/`."""
        if architecture not in ARCHITECTURES:
            raise Invalid(f"architecture {architecture!r} must be one of {', '.join(ARCHITECTURES)}")
        for firmware in programs:
            if firmware not in FIRMWARES:
                raise Invalid(
                    f"{firmware!r} is no kind of client; a boot program is for {', '.join(FIRMWARES)}"
                )
        if not programs:
            raise Invalid(
                "a boot image needs at least one boot program, such as --boot-program uefi=grubx64.efi"
            )
        with self._store.write("boot-image add", name) as connection:
            name, key = new_name(connection, schema.boot_image, "boot image", name)
            code = site_code(connection, site, self._store.code)
            new = self._store.new_id(connection, schema.boot_image, wanted_id, code)
            connection.execute(
                insert(schema.boot_image).values(
                    id=new,
                    name=name,
                    key=key,
                    site=code,
                    architecture=architecture,
                    source=str(source),
                    pxe_enabled=pxe_enabled,
                    launch_file=launch_file,
                )
            )
            connection.execute(
                insert(schema.boot_program),
                [{"boot_image_id": new, "firmware": kind, "file": file} for kind, file in programs.items()],
            )
            return BootImageRow(
                new, name, architecture, source, dict(programs), pxe_enabled, launch_file, code
            )

    def all(self) -> list[BootImageRow]:
        """All boot images, by id."""
        with self._store.read() as connection:
            return read_boot_images(connection)

    def get(self, image_id: str) -> BootImageRow:
        """One boot image by id. Raises NotFound."""
        with self._store.read() as connection:
            wanted = find_boot_image(connection, image_id).id
            return next(row for row in read_boot_images(connection) if row.id == wanted)

    def set_pxe(self, image_id: str, enabled: bool) -> None:
        """Deploy an image from the PXE-enabled distribution point, or not (CM-111)."""
        self._set(image_id, "pxe_enabled", enabled)

    def set_launch_file(self, image_id: str, file: str | None) -> None:
        """Name the launch file, a file of the folder with `/`; None: the boot program that a machine ends with."""
        self._set(image_id, "launch_file", file)

    def users(self, image_id: str) -> list[str]:
        """The ids of the task sequences that boot from an image."""
        with self._store.read() as connection:
            return _users(connection, find_boot_image(connection, image_id).id)

    def remove(self, image_id: str) -> None:
        """Remove an image from the site, not its published files.

        Raises InUse while a task sequence boots from it.
        """
        with self._store.write("boot-image remove", image_id) as connection:
            wanted = find_boot_image(connection, image_id).id
            users = _users(connection, wanted)
            if users:
                raise InUse(
                    f"boot image {wanted} is in use by task sequence {listed(users)}; remove that first"
                )
            connection.execute(delete(schema.boot_image).where(schema.boot_image.c.id == wanted))

    def _set(self, image_id: str, column: str, value: object) -> None:
        with self._store.write("boot-image set", f"{image_id} {column}={value}") as connection:
            wanted = find_boot_image(connection, image_id).id
            connection.execute(
                update(schema.boot_image).where(schema.boot_image.c.id == wanted).values({column: value})
            )


def find_boot_image(connection: Connection, image_id: str) -> Any:
    """One boot image's row by id, whatever its case. Raises NotFound."""
    return find(connection, schema.boot_image, "id", image_id.strip().upper(), "boot image")


def read_boot_images(connection: Connection) -> list[BootImageRow]:
    """All boot images, by id."""
    p, b = schema.boot_program.c, schema.boot_image.c
    programs: dict[str, dict[str, str]] = {}
    for image, firmware, file in connection.execute(
        select(p.boot_image_id, p.firmware, p.file).order_by(p.firmware)
    ):
        programs.setdefault(image, {})[firmware] = file
    query = select(b.id, b.name, b.architecture, b.source, b.pxe_enabled, b.launch_file, b.site).order_by(
        b.id
    )
    return [
        BootImageRow(
            number, name, architecture, Path(source), programs.get(number, {}), bool(pxe), launch, site
        )
        for number, name, architecture, source, pxe, launch, site in connection.execute(query)
    ]


def _users(connection: Connection, image_id: str) -> list[str]:
    t = schema.task_sequence.c
    return list(connection.execute(select(t.id).where(t.boot_image_id == image_id).order_by(t.id)).scalars())
