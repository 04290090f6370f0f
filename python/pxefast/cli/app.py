"""The tree of commands, and the options before the noun."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from pxefast.cli import (
    audit,
    bcd,
    boot_image,
    boot_image_set,
    budget,
    collection,
    content,
    customize,
    db,
    demo,
    deployment,
    deployment_state,
    device,
    dp,
    duplicate_id,
    explain,
    group,
    halt,
    import_registry,
    init,
    ledger,
    make_sdi,
    recommend,
    reconcile,
    replay,
    serve,
    setting,
    site,
    status,
    task_sequence,
    tftp,
    tune,
    version,
    watch,
    whatif,
)
from pxefast.cli.context import Context, default_home

app = typer.Typer(
    name="pxefast",
    help="Boot machines from the network, once, and say why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
    epilog="Results go to standard output, everything else to standard error. "
    "Exit codes: 0 done, 1 an error, 2 a wrong command line, "
    "3 cannot open or cannot bind. Example: pxefast explain --mac 00:11:22:33:44:55",
)


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home",
            envvar="PXEFAST_HOME",
            metavar="DIR",
            help="Where pxefast.toml, the database and the content library are "
            "(default: /var/lib/pxefast as root, else ~/.local/share/pxefast).",
            show_default=False,
            # That it can be opened is no matter of the command line: the context says so, with exit code 3.
            readable=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Another pxefast.toml (default: the one in the home)."),
    ] = None,
) -> None:
    """Boot machines from the network, once, and say why."""
    context.obj = Context((home or default_home()).expanduser().absolute(), config)
    context.call_on_close(context.obj.close)


app.command("init", epilog="Example: pxefast init --site-code PS1")(init.init)
app.add_typer(site.app, name="site")
app.add_typer(boot_image.app, name="boot-image")
boot_image.app.command("set", epilog="Example: pxefast boot-image set PS100001 --boot-ca 2023")(
    boot_image_set.set_
)
boot_image.app.command(epilog=f"Example: pxefast {customize.EXAMPLE}")(customize.customize)
boot_image.app.command(epilog="Example: pxefast boot-image make-sdi --output boot.sdi")(make_sdi.make_sdi)
app.add_typer(bcd.app, name="bcd")
app.add_typer(content.app, name="content")
app.add_typer(device.app, name="device")
app.add_typer(collection.app, name="collection")
app.add_typer(task_sequence.app, name="task-sequence")
app.add_typer(deployment.app, name="deployment")
for _command, _example in (
    (deployment_state.clear, "clear --device web01 --dry-run"),
    (deployment_state.approve, "approve PS120001 --device web01"),
    (deployment_state.pending, "pending PS120001 --json"),
    (deployment_state.hold, "hold PS120001 --device web01 --why 'disk is being copied'"),
):
    deployment.app.command(epilog=f"Example: pxefast deployment {_example}")(_command)
app.add_typer(dp.app, name="dp")
dp.app.command(epilog="Example: pxefast dp recommend --mtu 1420")(recommend.recommend)
app.add_typer(group.distribution_point_group, name="distribution-point-group")
app.add_typer(group.boundary_group, name="boundary-group")
app.add_typer(duplicate_id.app, name="duplicate-id")
app.add_typer(setting.app, name="setting")
app.add_typer(tune.app, name="tune")
app.add_typer(db.app, name="db")
device.app.command(epilog="Example: pxefast device sessions web01")(ledger.sessions)
app.add_typer(ledger.app, name="ledger")
app.add_typer(audit.app, name="audit")
app.add_typer(budget.app, name="budget")
app.command("reconcile", epilog="Example: pxefast reconcile --dry-run")(reconcile.reconcile)
app.command("explain", epilog="Example: pxefast explain --mac 00:11:22:33:44:55 --arch x64 --firmware uefi")(
    explain.explain
)
app.command(
    "whatif",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: pxefast whatif deployment clear --collection 'rack 7'",
)(whatif.whatif)
app.add_typer(import_registry.app, name="import")
app.command("replay", epilog="Example: pxefast replay boot.pcap --mac 00:11:22:33:44:55")(replay.replay)
app.command("serve", epilog="Example: pxefast --home /srv/pxefast serve")(serve.serve)
app.command("tftp", epilog="Example: pxefast tftp /srv/tftp --port 6969")(tftp.tftp)
app.command("status", epilog="Example: pxefast status --json")(status.status)
app.command("watch", epilog="Example: pxefast watch --mac 00:11:22:33:44:55")(watch.watch)
app.command("halt", epilog='Example: pxefast halt --why "wrong image deployed"')(halt.halt)
app.command("demo", epilog="Example: pxefast demo")(demo.demo)
app.command("version", epilog="Example: pxefast version --json")(version.version)

# The parsers of all commands: made once, for a process that runs many.
command = get_command(app)
