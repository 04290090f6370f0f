"""`pxefast import registry`: a distribution point's settings out of an old server's registry (CM-157, CM-158)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json
from pxefast.cli.output import note, print_json, print_table
from pxefast.cli.registry_file import Value, read
from pxefast.errors import InputError, Invalid, UsageError

if TYPE_CHECKING:
    from pxefast.decide.records import DistributionPoint

app = typer.Typer(help="Take over what an older server was set to.", no_args_is_help=True)

_KEYS = tuple(
    f"{root}\\software\\{node}microsoft\\sms\\{key}"
    for root in ("hkey_local_machine", "hklm")
    for node in ("", "wow6432node\\")
    for key in ("dp", "pxe")
)
_FILE = "macignorelistfile"
_BIND_POLICY, _BIND_EXCEPT = "bindpolicy", "bindexcept"

# Lower-case name -> why it has no meaning here.
_IGNORED = {
    "pxeinstalled": "there is no role to install: a distribution point is a PXE server while pxefast serve runs",
    "numberofthreads": "one thread decides in order, so that a request that comes twice does no harm",
    "cacheexpire": "nothing is cached: a change counts within a second",
    "pxepassword": "nothing on a machine would ask for it: it protects nothing (CM-8)",
}


class Setting(NamedTuple):
    """A setting to be made, from one registry value."""

    name: str
    value: object
    registry: Value


class Ignored(NamedTuple):
    """A registry value that is not taken over, and why."""

    registry: Value
    why: str


@app.callback()
def group() -> None:
    """Take over what an older server was set to."""


@app.command(epilog="Example: pxefast import registry dp.reg --dry-run")
def registry(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .reg file, as reg export or Registry Editor writes it.")
    ],
    mac_ignore_list_file: Annotated[
        Path | None,
        typer.Option(
            "--mac-ignore-list-file",
            metavar="PATH",
            help="Where the exclusion list that it names is now.",
            show_default=False,
        ),
    ] = None,
    no_mac_ignore_list_file: Annotated[
        bool, typer.Option("--no-mac-ignore-list-file", help="Leave the exclusion list that it names out.")
    ] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    r"""Take over the distribution point's settings from a registry export.

    Read is the key HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\SMS\DP, also below Wow6432Node; make the file there with
    reg export. What has no meaning here is named, and why; where a value is wrong nothing is changed. An exclusion list
    is a file of the old server: copy it here and say where it is.
    """
    if mac_ignore_list_file is not None and no_mac_ignore_list_file:
        raise UsageError("--mac-ignore-list-file and its --no- form cannot both be given")
    found = _found(file)
    listed = None if mac_ignore_list_file is None else str(mac_ignore_list_file.absolute())
    settings, ignored = _settings(file, found, listed, no_mac_ignore_list_file)
    store = get(context).store()
    before = store.dps.get()
    changed = [setting for setting in settings if getattr(before, setting.name) != setting.value]
    if changed and not dry_run:
        store.dps.set(**{setting.name: setting.value for setting in changed})
    if json:
        print_json(_as_dict(before, changed, ignored, dry_run))
    else:
        _print(before, changed, ignored, dry_run)


def _found(file: Path) -> dict[str, Value]:
    """The values of the key by lower-case name. Raises InputError where there are none, or two that differ."""
    found: dict[str, Value] = {}
    for value in read(file, lambda key: key in _KEYS):
        other = found.get(value.name.lower())
        if other is not None and other.data != value.data:
            raise InputError(
                f"{file}: line {value.line}: {value.key}: {value.name} is said otherwise in line {other.line}; "
                "keep one of them"
            )
        found[value.name.lower()] = value
    if not found:
        raise InputError(
            f"{file} holds no value of HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\SMS\\DP; "
            "export that key on the distribution point"
        )
    return found


def _settings(
    file: Path, found: dict[str, Value], listed: str | None, without_list: bool
) -> tuple[list[Setting], list[Ignored]]:
    settings: list[Setting] = []
    ignored: list[Ignored] = []
    for name, value in found.items():
        try:
            if name in _SIMPLE:
                field, parse = _SIMPLE[name]
                settings.append(
                    Setting(field, _default(field) if value.data is None else parse(value), value)
                )
            elif name == _BIND_POLICY:
                settings.append(Setting("interfaces", _interfaces(value, found.get(_BIND_EXCEPT)), value))
            elif name == _BIND_EXCEPT:
                if _BIND_POLICY not in found:
                    ignored.append(Ignored(value, "it counts only where BindPolicy is 1"))
            elif name == _FILE and not without_list:
                settings.append(Setting("mac_ignore_list_file", _list(value, listed), value))
            elif name == _FILE:
                ignored.append(Ignored(value, "left out as asked: nobody is excluded by it"))
            else:
                ignored.append(Ignored(value, _IGNORED.get(name, "it has no meaning for PXE here")))
            if settings and settings[-1].registry is value:
                _check(settings[-1])
        except Invalid as error:
            raise InputError(f"{file}: line {value.line}: {value.key}: {value.name}: {error}") from None
    return settings, ignored


def _check(setting: Setting) -> None:
    from pxefast.responder import exclusions
    from pxefast.site.distribution_points import checked

    checked({setting.name: setting.value})
    if setting.name == "mac_ignore_list_file" and isinstance(setting.value, str):
        # A list that would not exclude what its author meant is no list.
        note(f"{setting.value} excludes {len(exclusions.read(setting.value)):,} MAC addresses")


def _default(field: str) -> object:
    from pxefast.decide.records import DistributionPoint

    return next(one.default for one in fields(DistributionPoint) if one.name == field)


def _number(value: Value) -> int:
    if not isinstance(value.data, int):
        raise Invalid("must be a dword")
    return value.data


def _switch(value: Value) -> bool:
    number = _number(value)
    if number not in (0, 1):
        raise Invalid(f"{number} must be 0 or 1")
    return number == 1


def _not(value: Value) -> bool:
    return not _switch(value)


def _interfaces(policy: Value, listed: Value | None) -> tuple[str, ...] | None:
    """None for every interface; else the MAC addresses of those that answer, whatever its name says (CM-11)."""
    from pxefast.decide import normal_mac

    if policy.data is None or not _switch(policy):
        return None
    data = () if listed is None or listed.data is None else listed.data
    if isinstance(data, str):
        data = tuple(data.replace(",", " ").replace(";", " ").split())
    if not isinstance(data, tuple):
        raise Invalid("BindExcept must be a list of text")
    if not data:
        note("BindPolicy 1 without an interface: the distribution point answers nobody (CM-12)")
    macs = []
    for text in data:
        mac = normal_mac(text)
        if mac is None:
            raise Invalid(f"BindExcept {text!r} is not a MAC address")
        macs.append(mac)
    return tuple(dict.fromkeys(macs))


def _list(value: Value, listed: str | None) -> str | None:
    """The exclusion list's path here. Raises Invalid where it is one of another machine: it would exclude nobody."""
    if value.data is not None and not isinstance(value.data, str):
        raise Invalid("must be a string")
    if not value.data:
        return None
    if listed is not None:
        return listed
    if PurePosixPath(value.data).is_absolute():
        return value.data
    raise Invalid(
        f"{value.data!r} is a file of the old server; copy it here and add --mac-ignore-list-file PATH, "
        "or --no-mac-ignore-list-file to exclude nobody"
    )


# Lower-case name -> the setting and how its value is read (CM-1 to CM-18, CM-30, CM-41, CM-42).
_SIMPLE: dict[str, tuple[str, Callable[[Value], object]]] = {
    "ispxe": ("enable_pxe", _switch),
    "isactive": ("allow_pxe_response", _switch),
    "supportunknownmachines": ("unknown_computers", _switch),
    "udasetting": ("user_device_affinity", _number),
    "responsedelay": ("response_delay", _number),
    "ramdisktftpblocksize": ("ramdisk_tftp_block_size", _number),
    "ramdisktftpwindowsize": ("ramdisk_tftp_window_size", _number),
    "donotlistenondhcpport": ("listen_on_dhcp_port", _not),
}


def _print(
    before: DistributionPoint, changed: Iterable[Setting], ignored: Iterable[Ignored], dry_run: bool
) -> None:
    rows = [
        (setting.registry.name, setting.name.replace("_", " "), *_before_and_after(before, setting))
        for setting in changed
    ]
    if rows:
        print("would be changed:" if dry_run else "changed:")
        print_table(("REGISTRY", "SETTING", "BEFORE", "AFTER"), rows)
    else:
        print("nothing to change: the settings are already so")
    for item in ignored:
        print(f"ignored {item.registry.name} (line {item.registry.line}): {item.why}")


def _before_and_after(before: DistributionPoint, setting: Setting) -> tuple[object, object]:
    """Both values as `dp show` says them."""
    from pxefast.site.distribution_points import AFFINITIES

    old = getattr(before, setting.name)
    if setting.name == "user_device_affinity" and isinstance(setting.value, int):
        return AFFINITIES[old], AFFINITIES[setting.value]
    return old, setting.value


def _as_dict(
    before: DistributionPoint, changed: Iterable[Setting], ignored: Iterable[Ignored], dry_run: bool
) -> dict[str, object]:
    return {
        "applied": not dry_run,
        "changes": [
            {
                "registry": setting.registry.name,
                "setting": setting.name,
                "before": old,
                "after": new,
            }
            for setting in changed
            for old, new in [_before_and_after(before, setting)]
        ],
        "ignored": [
            {"registry": item.registry.name, "line": item.registry.line, "why": item.why} for item in ignored
        ],
    }
