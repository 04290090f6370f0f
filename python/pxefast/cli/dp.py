"""`pxefast dp`: the distribution point's own settings."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import note, print_fields, print_json
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.decide.records import DistributionPoint

app = typer.Typer(help="The distribution point's own settings.", no_args_is_help=True)

_UNSET: dict[str, Any] = {"show_default": False}


@app.command(epilog="Example: pxefast dp show --json")
def show(context: typer.Context, json: Json = False) -> None:
    """Show the settings."""
    _print(get(context).store().dps.get(), json)


@app.command("set", epilog="Example: pxefast dp set --enable-pxe --allow-pxe-response --interface eth0")
def set_(
    context: typer.Context,
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
            "--interface", metavar="IF", help="Answer on this interface only; repeat for several.", **_UNSET
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
        typer.Option("--ramdisk-tftp-block-size", metavar="N", help="Bytes, 8 to 65464.", **_UNSET),
    ] = None,
    no_ramdisk_tftp_block_size: Annotated[
        bool, typer.Option("--no-ramdisk-tftp-block-size", help="Use the default, 4096.")
    ] = False,
    ramdisk_tftp_window_size: Annotated[
        int | None,
        typer.Option("--ramdisk-tftp-window-size", metavar="N", help="Blocks, 1 to 65535.", **_UNSET),
    ] = None,
    no_ramdisk_tftp_window_size: Annotated[
        bool, typer.Option("--no-ramdisk-tftp-window-size", help="Use the default, 1.")
    ] = False,
) -> None:
    """Change settings. A running service follows within a second."""
    changes: dict[str, object] = {
        name: value
        for name, value in (
            ("enable_pxe", enable_pxe),
            ("allow_pxe_response", allow_pxe_response),
            ("unknown_computers", unknown_computers),
            ("listen_on_dhcp_port", listen_on_dhcp_port),
        )
        if value is not None
    }
    interfaces = None if interface is None else tuple(dict.fromkeys(interface))
    file = None if mac_ignore_list_file is None else str(mac_ignore_list_file.absolute())
    _value(changes, "interfaces", interfaces or None, no_interface, None)
    _value(changes, "response_delay", response_delay, no_response_delay, 0)
    _value(changes, "mac_ignore_list_file", file, no_mac_ignore_list_file, None)
    _value(changes, "ramdisk_tftp_block_size", ramdisk_tftp_block_size, no_ramdisk_tftp_block_size, 4096)
    _value(changes, "ramdisk_tftp_window_size", ramdisk_tftp_window_size, no_ramdisk_tftp_window_size, 1)
    if not changes:
        raise UsageError("nothing to set; see: pxefast dp set --help")
    if file is not None:
        _check_exclusions(file)
    store = get(context).store()
    before = store.dps.get()
    after = store.dps.set(**changes)
    for interface_name in after.interfaces or ():
        if "interfaces" in changes and not Path("/sys/class/net", interface_name).exists():
            note(f"there is no interface {interface_name} on this host now")
    if after.mac_ignore_list_file is None and before.mac_ignore_list_file is not None:
        note(f"the machines listed in {before.mac_ignore_list_file} are no longer excluded")
    _print(after, json=False)


def _value(changes: dict[str, object], name: str, value: object, no_value: bool, default: object) -> None:
    """One setting with a value form and a --no- form."""
    if no_value and value is not None:
        option = name.removesuffix("s") if name == "interfaces" else name
        raise UsageError(f"--{option.replace('_', '-')} and its --no- form cannot both be given")
    if no_value or value is not None:
        changes[name] = default if no_value else value


def _check_exclusions(file: str) -> None:
    """Refuse a list that would not exclude what its author meant. Raises ExclusionError."""
    from pxefast.responder import exclusions

    macs = exclusions.read(file)
    note(f"{file} excludes {len(macs)} MAC addresses")


def _print(dp: DistributionPoint, json: bool) -> None:
    fields: dict[str, object] = asdict(dp)
    if json:
        print_json(fields)
        return
    words = {name.replace("_", " "): value for name, value in fields.items()}
    if dp.interfaces is None:
        words["interfaces"] = "all"
    print_fields(words)
