"""What holds for every command: help, exit codes, streams, and the promises of the shared options."""

import os
import pty
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pxefast.cli.app import app
from typer.main import get_command


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = []
    for name, command in group.commands.items():
        here = (*path, name)
        found += commands(command, here) if hasattr(command, "commands") else [(here, command)]
    return found


ALL = commands(get_command(app))
NAMES = [" ".join(path) for path, _ in ALL]


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def test_every_promised_command_is_there() -> None:
    promised = """
    init
    boot-image add, boot-image list, boot-image show, boot-image set, boot-image remove
    boot-image customize, boot-image make-sdi
    content distribute, content redistribute, content validate, content remove, content list
    site create, site list, site show, site remove
    device import, device import-csv, device list, device show, device set, device remove
    device variable set, device variable remove, device variable list
    collection create, collection add, collection remove, collection list, collection show, collection rules
    collection rule add, collection rule remove
    collection variable set, collection variable remove, collection variable list
    task-sequence create, task-sequence list, task-sequence remove
    deployment create, deployment list, deployment show, deployment set, deployment enable, deployment disable
    deployment variable set, deployment variable remove, deployment variable list
    deployment remove, deployment clear, deployment approve, deployment pending, deployment hold
    dp create, dp list, dp show, dp set, dp remove, dp recommend
    distribution-point-group create, distribution-point-group add, distribution-point-group list
    distribution-point-group show, distribution-point-group remove
    boundary-group create, boundary-group add, boundary-group list, boundary-group show, boundary-group remove
    boundary-group set
    duplicate-id add, duplicate-id list, duplicate-id remove
    device sessions, ledger show, audit list, audit verify, budget show, budget reset, reconcile
    explain, serve, status, watch, halt, demo, version
    """
    assert {name.strip() for line in promised.split("\n") for name in line.split(",")} - {""} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example(run: Any, name: str) -> None:
    result = run(*name.split(), "--help")
    assert result.code == 0
    words = " ".join(result.out.split())
    assert "Example: pxefast" in words
    assert name in words[words.index("Example: ") :]


WITH_AN_ID = {
    ("boot-image", "add"),
    ("device", "import"),
    ("collection", "create"),
    ("task-sequence", "create"),
    ("deployment", "create"),
}


@pytest.mark.parametrize(("path", "command"), ALL, ids=NAMES)
def test_shared_options_are_where_they_are_promised(path: tuple[str, ...], command: Any) -> None:
    name = path[-1]
    if name in ("list", "show", "explain", "status", "version"):
        assert "--json" in options(command)
    if path in WITH_AN_ID:
        assert {"--id", "--quiet", "--site"} <= options(command)
    if name in ("remove", "clear"):
        assert {"--dry-run", "--yes"} <= options(command)


def test_every_setting_of_the_distribution_point_has_its_no_form() -> None:
    command = next(command for path, command in ALL if path == ("dp", "set"))
    plain = {name for name in options(command) if not name.startswith("--no-")} - {"--help", "--dp", "--site"}
    assert {name.replace("--", "--no-", 1) for name in plain} <= options(command)
    assert plain == {
        "--enable-pxe",
        "--allow-pxe-response",
        "--interface",
        "--unknown-computers",
        "--response-delay",
        "--listen-on-dhcp-port",
        "--mac-ignore-list-file",
        "--ramdisk-tftp-block-size",
        "--ramdisk-tftp-window-size",
        "--ramdisk-tftp-variable-window",
        "--user-device-affinity",
    }


NEED_A_HOME = [
    ("boot-image", "list"),
    ("boot-image", "show", "PS100001"),
    ("boot-image", "set", "PS100001", "--pxe"),
    ("boot-image", "remove", "PS100001"),
    ("content", "distribute", "PS100001"),
    ("content", "list"),
    ("device", "list"),
    ("device", "import", "--name", "web01", "--mac", "00:11:22:33:44:55"),
    ("device", "show", "web01"),
    ("collection", "list"),
    ("collection", "create", "rack"),
    ("task-sequence", "list"),
    ("deployment", "list"),
    ("deployment", "clear", "--device", "web01"),
    ("dp", "show"),
    ("dp", "set", "--enable-pxe"),
    ("explain", "--mac", "00:11:22:33:44:55"),
]


@pytest.mark.parametrize("arguments", NEED_A_HOME, ids=" ".join)
def test_without_a_home_every_command_says_how_to_make_one(
    run: Any, home: Path, arguments: tuple[str, ...]
) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (3, "")
    assert "pxefast init --site-code XYZ" in result.err
    assert not home.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("device", "import"),
        ("device", "import", "--name", "web01"),
        ("explain", "--mac", "zz"),
        ("explain", "--mac", "00:11:22:33:44:55", "--arch", "arm64", "--firmware", "bios"),
        ("explain", "--mac", "00:11:22:33:44:55", "--relay", "nowhere"),
        ("explain", "--mac", "00:11:22:33:44:55", "--smbios-guid", "1234"),
        ("boot-image", "set", "PS100001"),
        ("boot-image", "add", "/nowhere", "--name", "n", "--arch", "mips", "--boot-program", "uefi=a"),
        ("boot-image", "add", ".", "--name", "n", "--arch", "x64", "--boot-program", "coreboot=a"),
        ("boot-image", "add", ".", "--name", "n", "--arch", "x64", "--boot-program", "uefi"),
        ("deployment", "clear"),
        ("deployment", "clear", "--device", "web01", "--collection", "rack 7"),
        ("dp", "set"),
        ("dp", "set", "--response-delay", "soon"),
        ("dp", "set", "--response-delay", "1", "--no-response-delay"),
        ("dp", "set", "--interface", "eth0", "--no-interface"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_exit_code_2_on_standard_error(
    run: Any, site: Path, arguments: tuple[str, ...]
) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert result.err or not arguments
    assert "Traceback" not in result.err


REMOVALS = [
    (("device", "remove", "web01"), ("device", "show", "web01")),
    (("collection", "remove", "rack 7", "web01"), ("collection", "show", "rack 7")),
    (("deployment", "remove", "PS120001"), ("deployment", "show", "PS120001")),
]


@pytest.mark.parametrize(("removal", "look"), REMOVALS, ids=lambda value: " ".join(value[:2]))
def test_nothing_is_removed_without_a_terminal_and_without_yes(
    run: Any, site: Path, removal: Any, look: Any
) -> None:
    before = run(*look)
    result = run(*removal)
    assert (result.code, result.out) == (2, "")
    assert "--yes" in result.err
    dry = run(*removal, "--dry-run")
    assert dry.code == 0
    assert dry.out.startswith("would ")
    assert run(*look) == before
    assert run(*removal, "--yes").code == 0
    assert run(*look) != before


def test_at_a_terminal_it_asks_and_no_means_no(run: Any, site: Path, home: Path) -> None:
    for answer, code in (("n", 1), ("y", 0)):
        controller, terminal = pty.openpty()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "pxefast", "--home", str(home), "device", "remove", "web01"],
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            os.write(controller, f"{answer}\n".encode())
            _, err = process.communicate(timeout=60)
        finally:
            os.close(controller)
            os.close(terminal)
        assert process.returncode == code, err
        assert "remove device web01" in err
        assert run("device", "show", "web01").code == (1 if answer == "y" else 0)


def test_a_reader_that_stops_early_is_no_complaint(site: Path, home: Path) -> None:
    for command in (["device", "list", "--json"], ["dp", "show"], ["deployment", "list"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "pxefast", "--home", str(home), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        with process.stderr:
            assert process.stderr.read() == ""
        assert process.wait(60) in (0, 1)


def test_closed_streams_are_no_defect(site: Path, home: Path) -> None:
    pxefast = f"exec {sys.executable} -m pxefast --home {home}"
    for command, code in (("dp list >&-", 0), ("dp list <&- >&- 2>&-", 0), ("dp show nowhere 2>&-", 1)):
        result = subprocess.run(
            ["sh", "-c", f"{pxefast} {command}"], capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stdout, result.stderr) == (code, "", ""), command


def test_the_program_is_also_a_module_and_gives_its_exit_code(home: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pxefast", "--home", str(home), "dp", "show"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("pxefast: ")


def test_ctrl_c_while_the_program_is_still_loaded_is_one_line(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "pxefast.cli.app", Slow("pxefast.cli.app"))
    assert run("device", "list") == (130, "", "pxefast: interrupted\n")


def test_a_home_that_the_user_may_not_read_is_exit_code_3_and_says_what_to_do(
    run: Any, site: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As it is for another user; root may read everything.
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    result = run("device", "list")
    assert (result.code, result.out) == (3, "")
    assert f"cannot read {home}: Permission denied; run as its owner" in result.err


def test_a_full_disk_under_the_result_is_said_without_an_error_number(site: Path, home: Path) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "pxefast", "--home", str(home), "dp", "show"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (result.returncode, result.stderr) == (1, "pxefast: No space left on device\n")


def test_a_damaged_database_is_exit_code_3_without_a_traceback(run: Any, site: Path, home: Path) -> None:
    (home / "site.db").write_bytes(b"no database" * 1000)
    result = run("device", "list")
    assert result.code == 3
    assert "site.db" in result.err
    assert "Traceback" not in result.err


def test_a_wrong_setting_stops_every_command_with_its_file_and_key(run: Any, site: Path, home: Path) -> None:
    (home / "pxefast.toml").write_text("[dhcp]\nprot = 67\n")
    result = run("device", "list")
    assert result.code == 1
    assert f"{home}/pxefast.toml: dhcp.prot: unknown key" in result.err


def test_another_settings_file_can_be_named(run: Any, site: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    missing = run("--config", str(other), "device", "list")
    assert missing.code == 3
    other.write_text("[database]\nbusy_seconds = 1\n")
    assert run("--config", str(other), "device", "list").code == 0


def test_reading_commands_work_while_something_writes(run: Any, site: Path, home: Path) -> None:
    from pxefast.site.store import Store

    with Store.open(home / "site.db") as store, store.write("test", "holds the lock"):
        for arguments in (
            ("device", "list"),
            ("deployment", "list"),
            ("explain", "--mac", "00:11:22:33:44:55"),
        ):
            assert run(*arguments).code == 0


def test_commands_start_without_loading_the_database_or_the_native_library(home: Path) -> None:
    program = (
        "import sys; from pxefast.cli import main\n"
        "main(['--help'])\n"
        "late = ('sqlalchemy', 'alembic', 'pydantic', 'pxefast._native')\n"
        "print([name for name in late if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")], ids=repr)
def test_a_lack_of_memory_is_no_defect(
    run: Any, home: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("pxefast.content.library.Library.create", broken)
    result = run("--home", str(home / "new"), "init", "--site-code", "PS1")
    assert (result.code, "Traceback" in result.err, "defect" in result.err) == (1, False, False)
    assert "out of memory, or too many processes; raise the limit" in result.err


def test_a_defect_is_said_in_one_line_without_a_traceback(
    run: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("pxefast.content.library.Library.create", broken)
    result = run("--home", str(home / "new"), "init", "--site-code", "PS1")
    assert result.code == 1
    assert "ZeroDivisionError: a defect" in result.err
    assert "Traceback" not in result.err
