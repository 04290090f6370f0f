from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pxefast.errors import ExclusionError

MACS = st.lists(st.integers(0, 255), min_size=6, max_size=6)


@pytest.mark.parametrize(
    "line",
    [
        "01:23:45:67:89:ab",
        "01-23-45-67-89-AB",
        "0123.4567.89ab",
        "0123456789AB",
        "  01:23:45:67:89:AB\t",
        "01:23:45:67:89:ab # the print server",
        "01:23:45:67:89:ab;the print server",
        "01:23:45:67:89:ab # the ; print # server",
        "01:23:45:67:89:ab ; the # print ; server",
    ],
)
def test_every_usual_spelling_excludes_the_machine(decide: ModuleType, line: str) -> None:
    assert decide.parse_exclusions(line, "f") == {"01:23:45:67:89:ab"}


def test_comments_blank_lines_a_mark_of_order_and_crlf_are_no_machines(decide: ModuleType) -> None:
    text = "\ufeff# list\r\n\r\n; more\r\n   \r\n01:23:45:67:89:ab\r\n"
    assert decide.parse_exclusions(text, "f") == {"01:23:45:67:89:ab"}


def test_an_empty_list_excludes_nobody(decide: ModuleType) -> None:
    assert decide.parse_exclusions("", "f") == frozenset()


@pytest.mark.parametrize(
    "line",
    [
        "01:23:45:67:89",
        "01:23:45:67:89:ab:cd",
        "01:23:45:67:89:ag",
        "1:23:45:67:89:ab",
        "01:23-45:67:89:ab",
        "01:23:45:67:89:ab 01:23:45:67:89:ac",
        "web01",
        "01:23:45:67:89:ab,",
        "\u0661\u0662:23:45:67:89:ab",
    ],
)
def test_a_line_that_is_no_mac_refuses_the_list_with_its_number(decide: ModuleType, line: str) -> None:
    with pytest.raises(ExclusionError) as error:
        decide.parse_exclusions(f"01:23:45:67:89:ab\n\n{line}\n", "/etc/list.txt")
    assert (error.value.file, error.value.line) == ("/etc/list.txt", 3)
    entry = line.partition("#")[0].strip()
    assert str(error.value) == (
        f"/etc/list.txt: line 3: {entry!r} is not a MAC address; write one a line, such as 01:23:45:67:89:ab"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(macs=st.lists(MACS, max_size=20), style=st.sampled_from([":", "-", "", "."]), upper=st.booleans())
def test_what_is_written_is_what_is_excluded(
    decide: ModuleType, macs: list[list[int]], style: str, upper: bool
) -> None:
    lines = []
    for octets in macs:
        bare = bytes(octets).hex()
        text = ".".join((bare[:4], bare[4:8], bare[8:])) if style == "." else bytes(octets).hex(style or " ")
        text = text.replace(" ", "")
        lines.append(text.upper() if upper else text)
    assert decide.parse_exclusions("\n".join(lines), "f") == {bytes(octets).hex(":") for octets in macs}
