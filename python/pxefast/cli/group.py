"""`pxefast distribution-point-group` and `pxefast boundary-group`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import (
    DryRun,
    Json,
    NoTftpSizes,
    TftpBlockSize,
    TftpVariableWindow,
    TftpWindowSize,
    Yes,
    tftp_sizes,
)
from pxefast.cli.output import confirmed, print_fields, print_json, print_table
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.site.groups import GroupRow, Groups
    from pxefast.site.store import Store

Name = Annotated[str, typer.Argument(metavar="NAME", help="The group.")]
Points = Annotated[
    list[str] | None,
    typer.Option("--dp", metavar="DP", help="A distribution point; repeat for several.", show_default=False),
]
Subnets = Annotated[
    list[str] | None,
    typer.Option("--subnet", metavar="NET", help="A subnet, as 10.1.2.0/24; repeat.", show_default=False),
]


def _group_app(noun: str, what: str, example: str, members: str, boundaries: bool) -> typer.Typer:
    """The commands of one kind of group; `members` are options that put something into one."""
    app = typer.Typer(help=what, no_args_is_help=True)
    command = f"Example: pxefast {noun}"

    def groups(store: Store) -> Groups:
        return store.boundaries if boundaries else store.groups

    def as_dict(row: GroupRow) -> dict[str, object]:
        fields: dict[str, object] = {"name": row.name, "distribution_points": list(row.distribution_points)}
        if not boundaries:
            return fields
        sizes = {f"tftp_{field}": value for field, value in row.sizes._asdict().items()}
        return {**fields, "subnets": list(row.subnets), **sizes}

    def show_row(row: GroupRow, json: bool) -> None:
        if json:
            print_json(as_dict(row))
        else:
            print_fields({name.replace("_", " "): value for name, value in as_dict(row).items()})

    def remove_from(
        context: typer.Context, name: str, points: list[str], subnets: list[str], dry_run: bool, yes: bool
    ) -> None:
        store = get(context).store()
        row = groups(store).get(name)
        deeds = [f"take {member} out of group {row.name!r}" for member in (*points, *subnets)]
        if confirmed(deeds or [f"remove group {row.name!r}"], dry_run=dry_run, yes=yes):
            if deeds:
                show_row(groups(store).discard(row.name, points, subnets), json=False)
            else:
                groups(store).remove(row.name)
                print(f"removed group {row.name!r}")

    @app.command(epilog=f"{command} create {example}")
    def create(context: typer.Context, name: Name) -> None:
        """Create an empty group."""
        print(f"created {noun.replace('-', ' ')} {groups(get(context).store()).create(name).name!r}")

    @app.command("list", epilog=f"{command} list --json")
    def list_(context: typer.Context, json: Json = False) -> None:
        """List the groups."""
        rows = [as_dict(row) for row in groups(get(context).store()).all()]
        if json:
            print_json(rows)
            return
        header = ("NAME", "DISTRIBUTION POINTS", "SUBNETS", "TFTP BLOCK", "WINDOW", "VARIABLE")
        print_table(header if boundaries else header[:2], [tuple(row.values()) for row in rows])

    @app.command(epilog=f"{command} show {example}")
    def show(context: typer.Context, name: Name, json: Json = False) -> None:
        """Show a group."""
        show_row(groups(get(context).store()).get(name), json)

    if boundaries:

        @app.command(epilog=f"{command} add {example} {members}")
        def add(context: typer.Context, name: Name, dp: Points = None, subnet: Subnets = None) -> None:
            """Put subnets and distribution points into a group."""
            if not dp and not subnet:
                raise UsageError("give --subnet NET, --dp DP, or both")
            show_row(groups(get(context).store()).add(name, dp or (), subnet or ()), json=False)

        @app.command(epilog=f"{command} remove {example} {members} --dry-run")
        def remove(
            context: typer.Context,
            name: Name,
            dp: Points = None,
            subnet: Subnets = None,
            dry_run: DryRun = False,
            yes: Yes = False,
        ) -> None:
            """Take subnets and distribution points out of a group, or remove the group."""
            remove_from(context, name, dp or [], subnet or [], dry_run, yes)

        @app.command("set", epilog=f"{command} set {example} --tftp-block-size 1456 --tftp-window-size 16")
        def set_(
            context: typer.Context,
            name: Name,
            tftp_block_size: TftpBlockSize = None,
            tftp_window_size: TftpWindowSize = None,
            tftp_variable_window: TftpVariableWindow = None,
            no_tftp_sizes: NoTftpSizes = False,
        ) -> None:
            """Change how machines in these subnets load Windows PE.

            A boot image's sizes come before these, and a machine's variables before both; see: pxefast explain.
            """
            columns = tftp_sizes(tftp_block_size, tftp_window_size, tftp_variable_window, no_tftp_sizes)
            if not columns:
                raise UsageError(f"nothing to set; see: pxefast {noun} set --help")
            changes = {column.removeprefix("tftp_"): value for column, value in columns.items()}
            show_row(groups(get(context).store()).set_sizes(name, **changes), json=False)

    else:

        @app.command("add", epilog=f"{command} add {example} {members}")
        def add_points(context: typer.Context, name: Name, dp: Points = None) -> None:
            """Put distribution points into a group."""
            if not dp:
                raise UsageError("give --dp DP")
            show_row(groups(get(context).store()).add(name, dp), json=False)

        @app.command("remove", epilog=f"{command} remove {example} {members} --dry-run")
        def remove_points(
            context: typer.Context, name: Name, dp: Points = None, dry_run: DryRun = False, yes: Yes = False
        ) -> None:
            """Take distribution points out of a group, or remove the group."""
            remove_from(context, name, dp or [], [], dry_run, yes)

    return app


distribution_point_group = _group_app(
    "distribution-point-group", "Groups of distribution points.", "north", "--dp dp1", boundaries=False
)
boundary_group = _group_app(
    "boundary-group",
    "Which subnets which distribution points serve.",
    "floor-3",
    "--subnet 10.1.2.0/24 --dp dp1",
    boundaries=True,
)
