"""`pxefast dp`: the distribution points and their settings."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Site, Yes, choice
from pxefast.cli.output import confirmed, note, print_fields, print_json, print_table
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.decide.records import DistributionPoint

app = typer.Typer(help="The distribution points and their settings.", no_args_is_help=True)

_UNSET: dict[str, Any] = {"show_default": False}


@app.command(epilog="Example: pxefast dp create dp2 --site AAA")
def create(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name, as its own pxefast.toml will say it.")
    ],
    site: Site = None,
) -> None:
    """Create a distribution point. It answers nobody before it is told to."""
    here = get(context)
    store = here.store()
    own = store.point
    point = store.dps.create(name, site)
    print(f"created distribution point {point.name} of site {point.site}")
    if not here.settings.point.name:
        note(
            f'there are several now: write name = "{own}" below [point] in {here.config_file}, before anything else'
        )


@app.command("list", epilog="Example: pxefast dp list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the distribution points."""
    points = get(context).store().dps.all()
    if json:
        print_json([_as_dict(point) for point in points])
        return
    print_table(
        ("NAME", "SITE", "PXE", "ANSWERS", "UNKNOWN COMPUTERS"),
        [
            (point.name, point.site, point.enable_pxe, point.allow_pxe_response, point.unknown_computers)
            for point in points
        ],
    )


@app.command(epilog="Example: pxefast dp show --json")
def show(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Another one than that of this home.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Show the settings."""
    _print(get(context).store().dps.get(name), json)


@app.command("set", epilog="Example: pxefast dp set --enable-pxe --allow-pxe-response --interface eth0")
def set_(
    context: typer.Context,
    dp: Annotated[
        str | None, typer.Option("--dp", metavar="NAME", help="Another one than that of this home.", **_UNSET)
    ] = None,
    site: Annotated[
        str | None, typer.Option("--site", metavar="AAA", help="Move it to this site.", **_UNSET)
    ] = None,
    enable_pxe: Annotated[
        bool | None, typer.Option("--enable-pxe/--no-enable-pxe", help="Be a PXE server.", **_UNSET)
    ] = None,
    allow_pxe_response: Annotated[
        bool | None,
        typer.Option(
            "--allow-pxe-response/--no-allow-pxe-response", help="Answer requests, or pause.", **_UNSET
        ),
    ] = None,
    interface: Annotated[
        list[str] | None,
        typer.Option(
            "--interface",
            metavar="IF",
            help="Answer on this interface only, by its name or its MAC address; repeat for several. none: on no "
            "interface, so to nobody.",
            **_UNSET,
        ),
    ] = None,
    no_interface: Annotated[bool, typer.Option("--no-interface", help="Answer on every interface.")] = False,
    unknown_computers: Annotated[
        bool | None,
        typer.Option(
            "--unknown-computers/--no-unknown-computers", help="Serve machines without a record.", **_UNSET
        ),
    ] = None,
    response_delay: Annotated[
        int | None,
        typer.Option("--response-delay", metavar="S", help="Answer clients that waited S seconds.", **_UNSET),
    ] = None,
    no_response_delay: Annotated[bool, typer.Option("--no-response-delay", help="Answer at once.")] = False,
    user_device_affinity: Annotated[
        str | None,
        typer.Option(
            "--user-device-affinity",
            metavar="HOW",
            help="none, manual or automatic; it must equal the task sequence's SMSTSAssignUsersMode.",
            **_UNSET,
        ),
    ] = None,
    no_user_device_affinity: Annotated[
        bool, typer.Option("--no-user-device-affinity", help="Use the default, none.")
    ] = False,
    listen_on_dhcp_port: Annotated[
        bool | None,
        typer.Option(
            "--listen-on-dhcp-port/--no-listen-on-dhcp-port",
            help="Listen on the DHCP port, or leave it to a DHCP server on this host.",
            **_UNSET,
        ),
    ] = None,
    mac_ignore_list_file: Annotated[
        Path | None,
        typer.Option(
            "--mac-ignore-list-file", metavar="PATH", help="The exclusion list: a MAC a line.", **_UNSET
        ),
    ] = None,
    no_mac_ignore_list_file: Annotated[
        bool, typer.Option("--no-mac-ignore-list-file", help="Use no exclusion list.")
    ] = False,
    ramdisk_tftp_block_size: Annotated[
        int | None,
        typer.Option(
            "--ramdisk-tftp-block-size",
            metavar="N",
            help="Bytes, 512 to 65464; see: pxefast dp recommend.",
            **_UNSET,
        ),
    ] = None,
    no_ramdisk_tftp_block_size: Annotated[
        bool, typer.Option("--no-ramdisk-tftp-block-size", help="Use the default, 4096.")
    ] = False,
    ramdisk_tftp_window_size: Annotated[
        int | None,
        typer.Option(
            "--ramdisk-tftp-window-size",
            metavar="N",
            help="Blocks, 1 to 65535; with a variable window to 255.",
            **_UNSET,
        ),
    ] = None,
    no_ramdisk_tftp_window_size: Annotated[
        bool, typer.Option("--no-ramdisk-tftp-window-size", help="Use the default, 1.")
    ] = False,
    ramdisk_tftp_variable_window: Annotated[
        bool | None,
        typer.Option(
            "--ramdisk-tftp-variable-window/--no-ramdisk-tftp-variable-window",
            help="Let Windows' boot manager change the window while it loads.",
            **_UNSET,
        ),
    ] = None,
) -> None:
    """Change settings. A running service follows within a second."""
    changes: dict[str, object] = {
        name: value
        for name, value in (
            ("enable_pxe", enable_pxe),
            ("allow_pxe_response", allow_pxe_response),
            ("unknown_computers", unknown_computers),
            ("listen_on_dhcp_port", listen_on_dhcp_port),
            ("ramdisk_tftp_variable_window", ramdisk_tftp_variable_window),
            ("site", site),
        )
        if value is not None
    }
    interfaces = None if interface is None else () if interface == ["none"] else tuple(interface)
    affinity = None if user_device_affinity is None else _affinity(user_device_affinity)
    file = None if mac_ignore_list_file is None else str(mac_ignore_list_file.absolute())
    _value(changes, "interfaces", interfaces, no_interface, None)
    _value(changes, "user_device_affinity", affinity, no_user_device_affinity, 0)
    _value(changes, "response_delay", response_delay, no_response_delay, 0)
    _value(changes, "mac_ignore_list_file", file, no_mac_ignore_list_file, None)
    _value(changes, "ramdisk_tftp_block_size", ramdisk_tftp_block_size, no_ramdisk_tftp_block_size, 4096)
    _value(changes, "ramdisk_tftp_window_size", ramdisk_tftp_window_size, no_ramdisk_tftp_window_size, 1)
    if not changes:
        raise UsageError("nothing to set; see: pxefast dp set --help")
    if file is not None:
        _check_exclusions(file)
    store = get(context).store()
    before = store.dps.get(dp)
    after = store.dps.set(dp, **changes)
    if "interfaces" in changes and after.name == store.point:
        _check_interfaces(after.interfaces)
    if after.mac_ignore_list_file is None and before.mac_ignore_list_file is not None:
        note(f"the machines listed in {before.mac_ignore_list_file} are no longer excluded")
    _print(after, json=False)


@app.command(epilog="Example: pxefast dp remove dp2 --dry-run")
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The distribution point.")],
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove a distribution point that serves no more."""
    store = get(context).store()
    point = store.dps.get(name)
    if confirmed([f"remove distribution point {point.name}"], dry_run=dry_run, yes=yes):
        store.dps.remove(point.name)
        print(f"removed distribution point {point.name}")


def _value(changes: dict[str, object], name: str, value: object, no_value: bool, default: object) -> None:
    """One setting with a value form and a --no- form."""
    if no_value and value is not None:
        option = name.removesuffix("s") if name == "interfaces" else name
        raise UsageError(f"--{option.replace('_', '-')} and its --no- form cannot both be given")
    if no_value or value is not None:
        changes[name] = default if no_value else value


def _affinity(text: str) -> int:
    from pxefast.site.distribution_points import AFFINITIES

    return AFFINITIES.index(choice("--user-device-affinity", text, AFFINITIES))


def _check_interfaces(interfaces: tuple[str, ...] | None) -> None:
    """Say what cannot be meant: an interface that this host does not have now, or none at all."""
    if interfaces == ():
        note("an empty list of interfaces: this distribution point answers nobody")
    from pxefast.responder.interfaces import interface_mac

    here = Path("/sys/class/net")
    names = [path.name for path in here.iterdir()] if here.is_dir() else []
    macs = {interface_mac(name) for name in names}
    for interface in interfaces or ():
        if interface not in names and interface not in macs:
            note(f"there is no interface {interface} on this host now")


def _check_exclusions(file: str) -> None:
    """Refuse a list that would not exclude what its author meant. Raises ExclusionError."""
    from pxefast.responder import exclusions

    macs = exclusions.read(file)
    note(f"{file} excludes {len(macs)} MAC addresses")


def _as_dict(point: DistributionPoint) -> dict[str, object]:
    from pxefast.site.distribution_points import AFFINITIES

    return {**asdict(point), "user_device_affinity": AFFINITIES[point.user_device_affinity]}


def _print(point: DistributionPoint, json: bool) -> None:
    fields = _as_dict(point)
    if json:
        print_json(fields)
        return
    words = {"name": point.name, **{name.replace("_", " "): value for name, value in fields.items()}}
    if point.interfaces is None:
        words["interfaces"] = "all"
    print_fields(words)
