"""Every command that a text of the program names is a command of the program, with these options (D42)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pxefast.cli.app import app
from typer.main import get_command

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "python" / "pxefast"
ROOT: Any = get_command(app)
# What stands in a text where its program fills something in.
FILLED = "\0"
# What before "pxefast" makes what follows a command: a colon, a quote or a prompt.
INTRODUCED = re.compile(r"(?:[:`'\"=] ?|sudo )\s*$")
# A command ends with its clause, its line, or its quote.
END = re.compile(r"[;`\n\"|]|, | and | or |\.(?:\s|$)|\)| to | that | on its | says ")


class Named(NamedTuple):
    """A command in a text, and where."""

    place: str
    words: list[str]


def commands_of(text: str, place: str) -> Iterator[Named]:
    """The commands that a text names: `pxefast` and what follows where a command is introduced or begins."""
    for match in re.finditer(r"(?<![\w./-])pxefast(?= )", text):
        rest = END.split(text[match.end() :].replace("\\\n", " "), maxsplit=1)[0]
        words = [word.strip("'") for word in rest.split()]
        if not words:
            continue
        introduced = INTRODUCED.search(text[: match.start()]) is not None
        if words[0] in ROOT.commands or (introduced and re.fullmatch(r"[a-z-]+", words[0])):
            yield Named(place, words)


def wrong(words: list[str]) -> str | None:
    """What is wrong with a command, or None."""
    command, path = ROOT, "pxefast"
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            option = word.split("=")[0].rstrip(",:")
            known = {
                name
                for parameter in (*command.params, *ROOT.params)
                for name in (*parameter.opts, *parameter.secondary_opts)
            }
            if option not in known | {"--help", "--show-completion", "--install-completion"}:
                return f"{path} has no option {option}"
            if command is ROOT and rest and option in ("--home", "--config"):
                rest.pop(0)
            continue
        if not hasattr(command, "commands"):
            if path == "pxefast whatif":
                return wrong([word, *rest])
            continue
        if FILLED in word or word.endswith("..."):
            return None
        if word not in command.commands:
            return f"{path} has no command {word}"
        command, path = command.commands[word], f"{path} {word}"
    return None


def texts_of_python(file: Path) -> Iterator[tuple[str, int]]:
    """Every string of a Python file but its docstrings, with what is filled in marked."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inside: set[int] = set()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None and file.parent.name != "cli":
            inside.add(id(node.body[0].value))  # type: ignore[attr-defined]
        if isinstance(node, ast.JoinedStr):
            inside.update(id(part) for part in ast.walk(node) if part is not node)
            yield (
                "".join(
                    str(part.value) if isinstance(part, ast.Constant) else FILLED for part in node.values
                ),
                node.lineno,
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value, node.lineno


def texts_of_page(file: Path) -> Iterator[tuple[str, int]]:
    """The code of a page: its fenced blocks, and what stands in backquotes."""
    text = file.read_text(encoding="utf-8")
    for match in re.finditer(r"```.*?\n(.*?)```|`([^`\n]+)`", text, re.DOTALL):
        code = re.sub(r"(?m)^(sudo )?pxefast", ": pxefast", match[1] or match[2] or "")
        yield re.sub(r"<[\w .-]+>", FILLED, code), text[: match.start()].count("\n") + 1


def named() -> list[Named]:
    found: list[Named] = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for text, line in texts_of_python(file):
            found += commands_of(text, f"{file.relative_to(REPOSITORY)}:{line}")
    for file in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]:
        for text, line in texts_of_page(file):
            found += commands_of(text, f"{file.relative_to(REPOSITORY)}:{line}")
    toml = PACKAGE / "default.toml"
    found += commands_of(re.sub(r"(?m)^# ?", "", toml.read_text(encoding="utf-8")), "default.toml")
    for name, command in everything(ROOT):
        for text in (command.help, command.epilog, *(getattr(one, "help", "") for one in command.params)):
            found += commands_of(text or "", f"help of {name}")
    return found


def everything(group: Any, path: str = "pxefast") -> Iterator[tuple[str, Any]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from everything(command, f"{path} {name}")


def test_every_command_that_a_text_names_exists_with_its_options() -> None:
    found = named()
    assert len(found) > 150, "the search finds what there is to check"
    problems = [
        f"{one.place}: pxefast {' '.join(one.words)}: {what}"
        for one in found
        if (what := wrong(one.words)) is not None
    ]
    assert problems == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        # A disabled deployment's reason named this one.
        (f"run: pxefast deployment set {FILLED} --enable", "pxefast deployment set has no option --enable"),
        ("see: pxefast deploymnt list", "pxefast has no command deploymnt"),
        ("to approve: pxefast deployment aprove PS120001", "pxefast deployment has no command aprove"),
        ("`pxefast whatif deployment claer --device a`", "pxefast deployment has no command claer"),
        ("pxefast serve --hom /srv", "pxefast serve has no option --hom"),
        ("Example: pxefast --hom /srv serve", "pxefast has no option --hom"),
        (f"then: pxefast deployment clear --device {FILLED} --deployment {FILLED}", None),
        ("Example: pxefast --home /srv/pxefast serve", None),
    ],
)
def test_the_search_finds_a_command_that_does_not_exist(text: str, what: str | None) -> None:
    (one,) = commands_of(text, "here")
    assert wrong(one.words) == what


@pytest.mark.parametrize(
    "text", ["another pxefast serves this home", "pxefast runs on this machine", "a newer pxefast, see docs"]
)
def test_the_programs_name_in_a_sentence_is_no_command(text: str) -> None:
    assert list(commands_of(text, "here")) == []
