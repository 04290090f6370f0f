"""The house has walls: who may import whom (ARCHITECTURE.md, "The rooms")."""

import ast
import re
import tomllib
from pathlib import Path

import pxefast
import pytest
from pxefast import _native

ROOT = Path(__file__).parent.parent
NATIVE = ROOT / "native"
PACKAGE = ROOT / "python" / "pxefast"

RUST = {
    "wire": set(),
    "engine": {"wire"},
    "sys": set(),
    "pump": {"engine", "sys", "wire"},
    "py": {"engine", "pump", "sys", "wire"},
}
RUST_CRATES = {"wire": set(), "engine": set(), "sys": {"libc"}, "pump": {"libc"}, "py": {"pyo3"}}

# What a room of the package may import of it. `errors` is drawn on in every line; `__init__` holds the version.
PYTHON = {
    "errors": set(),
    "named_files": set(),
    "config": {"errors", "named_files"},
    "decide": {"errors"},
    "site": {
        "decide.placeholders",
        "decide.records",
        "decide.reasons",
        "decide.settling",
        "config",
        "errors",
        "named_files",
    },
    "content": {"config", "errors", "named_files"},
    "tftp": {"config", "errors", "_native"},
    "responder": {"decide", "site", "content", "config", "errors", "named_files", "_native", "__version__"},
    "bench": {"_native", "config", "errors"},
    "compat": {"_native", "config", "errors"},
    "cli": {
        "responder",
        "decide",
        "site",
        "content",
        "tftp",
        "config",
        "errors",
        "named_files",
        "_native",
        "bench",
        "compat",
        "__version__",
    },
    "__main__": {"cli"},
    "__init__": {"tftp"},
}


def rust_files(room: str) -> list[Path]:
    return sorted((NATIVE / room).rglob("*.rs"))


def without_tests(text: str) -> str:
    return text.split("#[cfg(test)]\nmod tests")[0]


@pytest.mark.parametrize("room", RUST)
def test_rust_rooms_use_only_their_neighbours(room: str) -> None:
    for file in rust_files(room):
        for used in re.findall(r"\bcrate::(\w+(?:::\w+)?)", without_tests(file.read_text())):
            own = used.split("::")[0] == room
            allowed = own or used.split("::")[0] in RUST[room] or used in RUST[room]
            assert allowed, f"{file.relative_to(ROOT)} uses crate::{used}"


@pytest.mark.parametrize("room", RUST)
def test_rust_rooms_use_only_their_crates(room: str) -> None:
    for file in rust_files(room):
        for crate in ("libc", "pyo3"):
            used = re.search(rf"\b{crate}::", file.read_text())
            assert not used or crate in RUST_CRATES[room], f"{file.relative_to(ROOT)} uses {crate}"


def test_unsafe_is_written_in_sys_alone_and_each_block_says_why_it_is_safe() -> None:
    for file in sorted(NATIVE.rglob("*.rs")):
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines):
            code = line.split("//")[0]
            if not re.search(r"\bunsafe\b", code) or "unsafe_code" in code:
                continue
            assert file.parent.name == "sys", f"{file.relative_to(ROOT)}:{number + 1}: unsafe outside sys"
            above = "\n".join(lines[max(0, number - 3) : number])
            assert "SAFETY:" in above, f"{file.relative_to(ROOT)}:{number + 1}: no SAFETY line"


def imports(file: Path) -> set[str]:
    """What `file` imports of pxefast, as dotted names below it."""
    found = set()
    package = ("pxefast", *file.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return {name.removeprefix("pxefast.") for name in found if name.split(".")[0] == "pxefast"}


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_python_rooms_import_only_their_neighbours(file: Path) -> None:
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imports(file):
        own = name.split(".")[0] == room
        assert own or any(name == allowed or name.startswith(f"{allowed}.") for allowed in PYTHON[room]), (
            f"{file.relative_to(ROOT)} imports pxefast.{name}"
        )


def test_the_decision_has_no_clock_no_file_and_no_database() -> None:
    allowed = {
        "__future__",
        "collections",
        "dataclasses",
        "datetime",
        "functools",
        "typing",
        "os",
        "shlex",
        "sys",
        "importlib",
        "pxefast",
    }
    for file in sorted((PACKAGE / "decide").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in ("now", "utcnow", "today"), f"{file.name} reads the clock"
            for name in names:
                assert name.split(".")[0] in allowed, f"{file.name} imports {name}"
            if file.name not in ("__init__.py", "_compiled.py"):
                assert not {name.split(".")[0] for name in names} & {"os", "sys", "importlib"}, file.name


@pytest.mark.parametrize(("folder", "most"), [(NATIVE, 400), (PACKAGE, 300)])
def test_a_file_is_one_noun_and_not_longer_than_a_reader_bears(folder: Path, most: int) -> None:
    ending, comment = ("*.rs", "//") if folder is NATIVE else ("*.py", "#")
    for file in sorted(folder.rglob(ending)):
        if file.name.endswith("_tests.rs"):
            continue
        lines = (line.strip() for line in without_tests(file.read_text()).splitlines())
        code = sum(1 for line in lines if line and not line.startswith(comment))
        assert code <= most, f"{file.relative_to(ROOT)}: {code} lines of code"


def reason_codes_compared(source: str) -> list[int]:
    """The lines that compare a `code` of something, or look it up."""
    found = []
    for node in ast.walk(ast.parse(source)):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            asked = [node.subject]
        elif isinstance(node, ast.Subscript):
            asked = [node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            asked = list(node.args)
        found += [
            part.lineno
            for part in asked
            if isinstance(part, ast.Attribute)
            and part.attr == "code"
            # Not the code of a site, which is a name, nor the exit code of a process.
            and ast.unparse(part.value) not in ("s", "row", "schema.site.c", "end")
        ]
    return found


@pytest.mark.parametrize("room", ["decide", "site", "responder", "cli"])
def test_control_flow_depends_on_no_reason_code(room: str) -> None:
    """Codes are for people and their tools; what follows from a decision is an outcome beside its reasons."""
    for file in sorted((PACKAGE / room).rglob("*.py")):
        lines = reason_codes_compared(file.read_text())
        assert lines == [], f"{file.relative_to(ROOT)}:{lines} decides by the code of a reason"


def test_the_search_for_reason_codes_finds_them() -> None:
    for source in (
        'if reasons[-1].code == "pending_approval": pass',
        "if outcome.reason.code != code: pass",
        'if result.reason.code in ("a", "b"): pass',
        "status = STATUS.get(result.reason.code, 409)",
        "status = STATUS[reason.code]",
        "match reason.code:\n    case _: pass",
    ):
        assert reason_codes_compared(source) == [1], source


def test_the_version_is_one() -> None:
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    assert cargo == _native.__version__ == pxefast.__version__
