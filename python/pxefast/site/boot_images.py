"""Boot images: what a machine can be booted with, and the boot program for each kind of client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from sqlalchemy import Connection, delete, insert, select, update

from pxefast.decide.records import Architecture
from pxefast.errors import InUse, Invalid
from pxefast.site import schema
from pxefast.site.names import find, listed, new_name, site_code
from pxefast.site.tftp_sizes import TftpSizes, check_sizes

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = [
    "ARCHITECTURES",
    "FIRMWARES",
    "BootImageRow",
    "BootImages",
    "Kind",
    "find_boot_image",
    "read_boot_images",
]

ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
FIRMWARES = ("bios", "uefi", "ipxe")

# A folder that is served as it is, or a WIM that Microsoft's boot managers load.
Kind = Literal["files", "windows-pe"]

# A change of these is served only after the image was distributed again; each raises the revision.
_SERVED = ("source", "boot_ca", "boot_sdi")
_SIZES = tuple(f"tftp_{field}" for field in TftpSizes._fields)
_CHANGEABLE = (*_SERVED, *_SIZES, "pxe_enabled", "launch_file")


class BootImageRow(NamedTuple):
    """A boot image as the site keeps it; `source` is the folder or the WIM that `content distribute` packages.

    `launch_file` is the latest file without which the work cannot begin; None where its operator named none.
    `revision` counts the changes of what would be served. `boot_ca`, 2011 or 2023, is the authority that the boot files
    of a WIM are signed under; None: 2011 where the WIM has both. `boot_sdi` is the administrator's, where the WIM has
    none. TFTP sizes are in bytes and in blocks; None leaves them to the next in line.
    """

    id: str
    name: str
    architecture: Architecture
    source: Path
    programs: dict[str, str]
    pxe_enabled: bool
    launch_file: str | None = None
    site: str = ""
    kind: Kind = "files"
    revision: int = 1
    boot_ca: str | None = None
    boot_sdi: Path | None = None
    tftp_block_size: int | None = None
    tftp_window_size: int | None = None
    tftp_variable_window: bool | None = None


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
        """A new boot image of kind files; `programs` maps bios, uefi and ipxe to a file of the folder, with `/`."""
        for firmware in programs:
            if firmware not in FIRMWARES:
                raise Invalid(
                    f"{firmware!r} is no kind of client; a boot program is for {', '.join(FIRMWARES)}"
                )
        if not programs:
            raise Invalid(
                "a boot image needs at least one boot program, such as --boot-program uefi=grubx64.efi"
            )
        values = {
            "kind": "files",
            "source": str(source),
            "pxe_enabled": pxe_enabled,
            "launch_file": launch_file,
        }
        return self._add(name, architecture, values, programs, wanted_id, site)

    def add_windows_pe(
        self,
        name: str,
        architecture: Architecture,
        source: Path,
        wanted_id: str | None = None,
        pxe_enabled: bool = True,
        *,
        boot_ca: str | None = None,
        boot_sdi: Path | None = None,
        sizes: TftpSizes = TftpSizes(),  # noqa: B008  immutable
        site: str | None = None,
    ) -> BootImageRow:
        """A new boot image that is a WIM; its boot programs are in it, and the WIM itself is its launch file."""
        check_sizes(sizes)
        values = {
            "kind": "windows-pe",
            "source": str(source),
            "pxe_enabled": pxe_enabled,
            "boot_ca": boot_ca,
            "boot_sdi": None if boot_sdi is None else str(boot_sdi),
            **dict(zip(_SIZES, sizes, strict=True)),
        }
        return self._add(name, architecture, values, {}, wanted_id, site)

    def all(self) -> list[BootImageRow]:
        """All boot images, by id."""
        with self._store.read() as connection:
            return read_boot_images(connection)

    def get(self, image_id: str) -> BootImageRow:
        """One boot image by id. Raises NotFound."""
        with self._store.read() as connection:
            return _get(connection, image_id)

    def set(self, image_id: str, /, *, of_revision: int | None = None, **changes: Any) -> BootImageRow:
        """Change an image by the names in BootImageRow; the image as it is now.

        What is served changes the revision; pxe_enabled (CM-111), launch_file and the TFTP sizes count at once instead.
        With `of_revision` the image must still be of that one. Raises Invalid, InUse or NotFound.
        """
        unknown = set(changes) - set(_CHANGEABLE)
        assert not unknown, unknown
        values = {name: str(value) if isinstance(value, Path) else value for name, value in changes.items()}
        words = " ".join((image_id, *(f"{name}={value}" for name, value in values.items())))
        with self._store.write("boot-image set", words) as connection:
            row = _get(connection, image_id)
            if of_revision not in (None, row.revision):
                raise InUse(
                    f"boot image {row.id} was changed meanwhile, to revision {row.revision}; try again"
                )
            check_sizes(TftpSizes(*(changes.get(name, getattr(row, name)) for name in _SIZES)))
            # A source that is named again is another one, too: its bytes may have changed.
            served = any(changes[name] != getattr(row, name) for name in _SERVED if name in changes)
            revision = row.revision + (served or "source" in changes)
            connection.execute(
                update(schema.boot_image)
                .where(schema.boot_image.c.id == row.id)
                .values(**values, revision=revision)
            )
            return _get(connection, row.id)

    def users(self, image_id: str) -> list[str]:
        """The ids of the task sequences that boot from an image."""
        with self._store.read() as connection:
            return _users(connection, find_boot_image(connection, image_id).id)

    def remove(self, image_id: str) -> None:
        """Remove an image from the site, not its published files.

        Raises InUse while a task sequence boots from it.
        """
        facts: dict[str, object] = {}
        with self._store.write("boot-image remove", image_id, facts) as connection:
            wanted = facts["boot_image"] = find_boot_image(connection, image_id).id
            users = _users(connection, wanted)
            if users:
                raise InUse(
                    f"boot image {wanted} is in use by task sequence {listed(users)}; remove that first"
                )
            connection.execute(delete(schema.boot_image).where(schema.boot_image.c.id == wanted))

    def _add(
        self,
        name: str,
        architecture: Architecture,
        values: Mapping[str, object],
        programs: Mapping[str, str],
        wanted_id: str | None,
        site: str | None,
    ) -> BootImageRow:
        if architecture not in ARCHITECTURES:
            raise Invalid(f"architecture {architecture!r} must be one of {', '.join(ARCHITECTURES)}")
        with self._store.write("boot-image add", name) as connection:
            name, key = new_name(connection, schema.boot_image, "boot image", name)
            code = site_code(connection, site, self._store.code)
            new = self._store.new_id(connection, schema.boot_image, wanted_id, code)
            row = {
                "id": new,
                "name": name,
                "key": key,
                "site": code,
                "architecture": architecture,
                "revision": 1,
            }
            if values["kind"] == "windows-pe":
                row["launch_file"] = f"boot.{new}.wim"
            connection.execute(insert(schema.boot_image).values(**row, **values))
            if programs:
                connection.execute(
                    insert(schema.boot_program),
                    [
                        {"boot_image_id": new, "firmware": kind, "file": file}
                        for kind, file in programs.items()
                    ],
                )
            return _get(connection, new)


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
    wanted = [b[field] for field in BootImageRow._fields if field != "programs"]
    rows = connection.execute(select(*wanted).order_by(b.id)).mappings().all()
    return [_row(values, programs.get(values["id"], {})) for values in rows]


def _get(connection: Connection, image_id: str) -> BootImageRow:
    wanted = find_boot_image(connection, image_id).id
    return next(row for row in read_boot_images(connection) if row.id == wanted)


def _row(values: Mapping[Any, Any], programs: dict[str, str]) -> BootImageRow:
    sdi, variable = values["boot_sdi"], values["tftp_variable_window"]
    typed = {
        "source": Path(values["source"]),
        "pxe_enabled": bool(values["pxe_enabled"]),
        "boot_sdi": None if sdi is None else Path(sdi),
        "tftp_variable_window": None if variable is None else bool(variable),
    }
    return BootImageRow(**{**values, **typed, "programs": programs})


def _users(connection: Connection, image_id: str) -> list[str]:
    t = schema.task_sequence.c
    return list(connection.execute(select(t.id).where(t.boot_image_id == image_id).order_by(t.id)).scalars())
