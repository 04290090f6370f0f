"""Every command explains itself as a manual page does, and its example is a command line that is accepted."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pxefast.cli import import_registry
from pxefast.cli.app import app
from typer.main import get_command

ROOT: Any = get_command(app)
CONFIGMGR = (Path(__file__).parents[2] / "docs" / "configmgr.md").read_text(encoding="utf-8")
# What takes a machine's boot away, or gives one.
DESTRUCTIVE = ("remove", "clear")
# What only tells.
READS = (
    "list",
    "show",
    "pending",
    "explain",
    "whatif",
    "replay",
    "status",
    "version",
    "verify",
    "check",
    "dump",
)


def tree(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every command and group below `group`, with its words."""
    found = []
    for name, command in group.commands.items():
        found.append(((*path, name), command))
        if hasattr(command, "commands"):
            found += tree(command, (*path, name))
    return found


EVERYTHING = tree(ROOT)
COMMANDS = [(path, command) for path, command in EVERYTHING if not hasattr(command, "commands")]
by_name = pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def parsed(words: list[str]) -> tuple[str, ...]:
    """The command that a command line is of, by the command line's own parser. Nothing is run."""
    context = ROOT.make_context("pxefast", list(words))
    command, path = ROOT, []
    rest = [*context._protected_args, *context.args]
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, rest)
        path.append(name)
        context = command.make_context(name, list(rest), parent=context)
        rest = [*context._protected_args, *context.args]
    return tuple(path)


@pytest.mark.parametrize(("path", "command"), EVERYTHING, ids=[" ".join(path) for path, _ in EVERYTHING])
def test_help_is_a_sentence_that_fits_the_list_and_says_every_option(
    path: tuple[str, ...], command: Any
) -> None:
    words = command.help or ""
    assert words.startswith(words[0].upper()), "begins with a capital"
    assert re.match(r".*[.:]$", words.strip().split("\n\n")[0], re.DOTALL), "ends with a full stop"
    first = re.split(r"[.:](?:\s|$)", " ".join(words.split()))[0]
    assert len(first) <= 78, f"its first sentence is cut in the list of commands: {first}"
    for parameter in command.params:
        if parameter.name != "help":
            assert (getattr(parameter, "help", None) or "").strip(), f"{parameter.name} is not explained"


@by_name
def test_the_example_of_a_command_is_a_command_line_of_it(path: tuple[str, ...], command: Any) -> None:
    epilog = command.epilog or ""
    assert epilog.startswith("Example: pxefast "), "one example, on its own"
    words = shlex.split(epilog.removeprefix("Example: pxefast "))
    assert parsed(words) == path


@pytest.mark.parametrize("line", dict.fromkeys(re.findall(r"`pxefast ([^`]+)`", CONFIGMGR)))
def test_the_page_for_those_who_come_from_configuration_manager_names_commands_that_are(line: str) -> None:
    words = [word for word in shlex.split(line) if word != "--help"]
    path = parsed(words) if "--help" not in line else tuple(words[:2])
    assert path in {path for path, _ in COMMANDS}


def test_that_page_names_every_registry_value_that_an_import_knows() -> None:
    named = {name.lower() for name in re.findall(r"`(\w+)`", CONFIGMGR)}
    known = {*import_registry._SIMPLE, *import_registry._IGNORED, import_registry._FILE}
    assert known | {import_registry._BIND_POLICY, import_registry._BIND_EXCEPT} <= named


@by_name
def test_what_reads_prints_json_and_what_destroys_asks_first(path: tuple[str, ...], command: Any) -> None:
    if path[-1] in READS:
        assert "--json" in options(command)
    if path[-1] in DESTRUCTIVE:
        assert {"--dry-run", "--yes"} <= options(command)
    if {"--yes"} & options(command):
        assert "--dry-run" in options(command), "what asks can also be tried"


def test_help_is_plain_text_as_a_manual_is(run: Callable[..., Any]) -> None:
    for path, _ in EVERYTHING:
        result = run(*path, "--help")
        assert result.code == 0
        assert not re.search(r"[\u2500-\u257f]|\x1b", result.out), path


def test_the_help_of_all_says_exit_codes_and_streams(run: Callable[..., Any]) -> None:
    words = " ".join(run("--help").out.split())
    assert "Exit codes: 0 done, 1 an error, 2 a wrong command line, 3 cannot open or cannot bind." in words
    assert "PXEFAST_HOME" in words
    assert "standard error" in words


def completed(line: str) -> list[str]:
    """What bash would be offered at the end of `line`."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_PXEFAST_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    shell = subprocess.run(
        [sys.executable, "-m", "pxefast"], capture_output=True, text=True, env=environment, check=False
    )
    return shell.stdout.split()


def test_a_shell_completes_nouns_verbs_and_options() -> None:
    assert set(completed("pxefast ")) == {path[0] for path, _ in EVERYTHING if len(path) == 1}
    assert "deployment" in completed("pxefast dep")
    assert {"create", "list", "clear"} <= set(completed("pxefast deployment "))
    assert "--make-available-to" in completed("pxefast deployment create --make")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_each_shell_can_be_shown_and_installed(shell: str, tmp_path: Path) -> None:
    def answer(option: str) -> str:
        environment = {
            **os.environ,
            "HOME": str(tmp_path),
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        argv = [sys.executable, "-m", "pxefast", option, shell]
        return subprocess.run(argv, capture_output=True, text=True, env=environment, check=True).stdout

    assert "_PXEFAST_COMPLETE=complete_" in answer("--show-completion")
    assert f"{shell} completion installed in {tmp_path}" in answer("--install-completion")
