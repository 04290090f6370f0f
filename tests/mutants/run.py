"""Change the product in small ways, one at a time, and name the changes that no test notices.

`python -m tests.mutants.run [MODULE...]` (`make mutants`) takes the modules of modules.toml, all or those that are
named, such as `site/protocol.py`, and writes the summary to `target/mutants/summary.txt`. Each module has a folder of
its own in `target/mutants`, with a copy of the product and of the tests that mutmut changes; the sources stay as they
are. A run that was stopped goes on where it was, and tries again what no
test noticed, unless `--anew` is given.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "target" / "mutants"
SUMMARY = FOLDER / "summary.txt"
TABLE = Path(__file__).parent / "modules.toml"
MEMORY = Path("/dev/shm")

# What mutmut's exit codes say of a mutant. One that ends pytest by an error instead of a failure is noticed as well.
STATES = {
    0: "survived",
    33: "no tests",
    34: "skipped",
    36: "timeout",
    -24: "timeout",
    152: "timeout",
    255: "timeout",
}

# Asked for once a module, for mutmut reads the whole module for each single question.
SHOW = """\
import json, sys
from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant
names = json.load(sys.stdin)
json.dump({name: get_diff_for_mutant(name, path=find_mutant(name).path) for name in names}, sys.stdout)
"""

PROJECT = """\
[tool.pytest.ini_options]
addopts = "-ra --strict-markers --strict-config --import-mode=importlib"
timeout = 60
xfail_strict = true
filterwarnings = ["error"]

[tool.mutmut]
source_paths = ["src"]
only_mutate = [{module}]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = [
    "-p", "no:cacheprovider", "-p", "no:unraisableexception",
    "-k", "not postgresql and not [plain", "--hypothesis-seed=1",
    "--assert=plain",
]
use_git_change_detection = false
"""


class Survivor(NamedTuple):
    """A mutant that no test noticed: the function, the lines that went and came, and why that is right, if it is."""

    name: str
    state: str
    removed: str
    added: str
    why: str


class Result(NamedTuple):
    """What became of the mutants of one module, and how many seconds it took."""

    module: str
    states: Counter[str]
    survivors: list[Survivor]
    seconds: float


def main() -> int:
    """Run the mutants of the modules that the command line names."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="modules as modules.toml names them; default: all")
    parser.add_argument("--anew", action="store_true", help="forget what an earlier run found")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="mutants at once; default: one a core"
    )
    given = parser.parse_args()
    unknown = sorted(set(given.modules) - set(table["modules"]))
    if unknown:
        parser.error(f"no such module in {TABLE.relative_to(ROOT)}: {', '.join(unknown)}")
    results = []
    for module in given.modules or table["modules"]:
        tests = table["modules"][module]
        results.append(run(module, tests, table.get("explained", []), given.anew, given.jobs))
        print(line(results[-1]), flush=True)
    text = summary(results)
    SUMMARY.parent.mkdir(parents=True, exist_ok=True)
    SUMMARY.write_text(text, encoding="utf-8")
    print(f"\n{text}\nalso in {SUMMARY.relative_to(ROOT)}")
    return 0 if results else 1


def run(module: str, tests: list[str], explained: Iterable[dict[str, str]], anew: bool, jobs: int) -> Result:
    """Run every mutant of a module that has no result yet."""
    folder = FOLDER / module.removesuffix(".py").replace("/", ".")
    if anew:
        shutil.rmtree(folder, ignore_errors=True)
    prepare(folder, module, tests)
    forget_survivors(folder / "mutants" / "src" / "pxefast" / f"{module}.meta")
    environment = {**os.environ, "PXEFAST_PURE": "1", "PXEFAST_SEED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if MEMORY.is_dir():
        # A test of the site database waits for the disk more than ten times as long as it computes.
        environment["TMPDIR"] = str(MEMORY)
    began = time.monotonic()
    with (folder / "log").open("ab") as log:
        done = subprocess.run(
            [Path(sys.executable).parent / "mutmut", "run", "--max-children", str(jobs)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{module}: mutmut ended with {done.returncode}; see {folder / 'log'}")
    return read(
        folder, module, [entry for entry in explained if entry["module"] == module], time.monotonic() - began
    )


def prepare(folder: Path, module: str, tests: list[str]) -> None:
    """Make a project of the product and its tests in the layout that mutmut expects."""
    ignore = shutil.ignore_patterns("__pycache__", "fuzz", "mutants", "*.pcap.gz")
    for source, copy in (
        (ROOT / "python" / "pxefast", folder / "src" / "pxefast"),
        (ROOT / "tests", folder / "tests"),
    ):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy, ignore=ignore)
    # What tests of an earlier product keep here.
    shutil.rmtree(folder / "mutants" / "templates", ignore_errors=True)
    path = json.dumps(f"src/pxefast/{module}")
    (folder / "pyproject.toml").write_text(
        PROJECT.format(module=path, tests=json.dumps(tests)), encoding="utf-8"
    )


def forget_survivors(notes: Path) -> None:
    """Try again what no test noticed in an earlier run: there may be tests now that do."""
    if not notes.is_file():
        return
    found = json.loads(notes.read_text(encoding="utf-8"))
    codes = found["exit_code_by_key"]
    for name in codes:
        if STATES.get(codes[name]) in ("survived", "no tests", "timeout"):
            codes[name] = None
    notes.write_text(json.dumps(found), encoding="utf-8")


def read(folder: Path, module: str, explained: list[dict[str, str]], seconds: float) -> Result:
    """Read what mutmut noted of each mutant."""
    notes = json.loads(
        (folder / "mutants" / "src" / "pxefast" / f"{module}.meta").read_text(encoding="utf-8")
    )
    found = {
        name: "not run" if code is None else STATES.get(code, "killed")
        for name, code in notes["exit_code_by_key"].items()
    }
    states = Counter(found.values())
    survivors = []
    unnoticed = [name for name, state in found.items() if state in ("survived", "no tests")]
    for name, difference in differences(folder, unnoticed).items():
        each = survivor(name, found[name], difference, explained)
        survivors.append(each)
        if each.why:
            states[each.state] -= 1
            states["explained"] += 1
    return Result(module, +states, survivors, seconds)


def differences(folder: Path, names: list[str]) -> dict[str, str]:
    """Return what each of these mutants changes, as a unified diff."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=folder,
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=True,
    )
    return cast(dict[str, str], json.loads(done.stdout))


def survivor(name: str, state: str, difference: str, explained: list[dict[str, str]]) -> Survivor:
    """Say what a mutant changes, and why no test can notice it, if that is so."""
    changed: dict[str, list[str]] = {"-": [], "+": []}
    for text in difference.splitlines():
        if re.match(r"[-+](?![-+]{2} )", text):
            changed[text[0]].append(text[1:].strip())
    removed, added = (" ".join(changed[sign]) for sign in "-+")
    short = re.sub(r"^.*\.x_?|__mutmut_\d+$", "", name).replace("ǁ", ".").strip(".")
    why = next((e["why"] for e in explained if e["function"] == short and e["becomes"] == added), "")
    return Survivor(short, state, removed, added, why)


def line(result: Result) -> str:
    """Return one line of figures."""
    count = result.states.total()
    states = ", ".join(f"{number} {state}" for state, number in sorted(result.states.items()))
    return f"{result.module}: {count} mutants: {states}; {result.seconds:.0f} s"


def summary(results: list[Result]) -> str:
    """Return the whole summary, with what each survivor is."""
    lines: list[Any] = [line(result) for result in results]
    for result in results:
        for each in result.survivors:
            lines += [
                "",
                f"{result.module} {each.name}: {each.state}",
                f"  - {each.removed}",
                f"  + {each.added}",
            ]
            lines += [f"  explained: {each.why}"] if each.why else []
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
