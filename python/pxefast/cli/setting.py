"""`pxefast setting`: the policy of the whole hierarchy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import print_json, print_table, word

if TYPE_CHECKING:
    from pxefast.site.policy import SettingRow

app = typer.Typer(help="The policy of the whole hierarchy.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A setting, as `setting list` names it.")]


@app.command("list", epilog="Example: pxefast setting list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List every setting, its default, and what Configuration Manager does."""
    rows = get(context).store().policy.all()
    if json:
        print_json([_as_dict(row) for row in rows])
        return
    print_table(
        ("SETTING", "VALUE", "DEFAULT", "CONFIGMGR", "RULE", "MEANING"),
        [
            (
                row.setting.name,
                row.value,
                row.setting.default,
                row.setting.configmgr,
                row.setting.rule,
                row.setting.meaning,
            )
            for row in rows
        ],
    )


@app.command("set", epilog="Example: pxefast setting set schedules enforce")
def set_(
    context: typer.Context,
    name: Name,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="A word, a number or a list; yes or no for a switch.")
    ],
) -> None:
    """Change a setting. Every running service follows within seconds."""
    _print(get(context).store().policy.set(name, value))


@app.command(epilog="Example: pxefast setting reset schedules")
def reset(context: typer.Context, name: Name) -> None:
    """Give a setting its default again."""
    _print(get(context).store().policy.reset(name))


def _print(row: SettingRow) -> None:
    setting = row.setting
    print(f"{setting.name} is {word(row.value)}: {setting.meaning}")


def _as_dict(row: SettingRow) -> dict[str, object]:
    setting = row.setting
    return {
        "name": setting.name,
        "value": row.value,
        "default": setting.default,
        "configuration_manager": setting.configmgr,
        "rule": setting.rule,
        "meaning": setting.meaning,
        "values": list(setting.values) or ["yes", "no"],
    }
