"""A command in a reason names its device so that a shell reads the name back, whatever an operator called it."""

from __future__ import annotations

import re
import shlex

import pytest
from pxefast.decide import reasons

NAMES = [
    "web01",
    "web 01",
    "web's",
    "$(reboot)",
    "a; b",
    'say "x"',
    "#1",
    "\N{LATIN SMALL LETTER U WITH DIAERESIS}ber",
]
GUID = "4c4c4544-0031-4a10-8051-b4c04f4d3532"


def words_of(text: str) -> list[str]:
    """Return the words of the first command of a text, as a shell reads them."""
    found = re.search(r"pxefast (?:device|deployment) .*", text)
    assert found
    lexer = shlex.shlex(found[0], posix=True, punctuation_chars=";")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words = list(lexer)
    return words[: words.index(";")] if ";" in words else words


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_reads_the_name_of_the_device_back_from_each_command(name: str) -> None:
    offered = reasons.already_offered("PS120001", "LAUNCHED", 1.7e9, name).text
    assert words_of(offered)[:5] == ["pxefast", "deployment", "clear", "--device", name]
    held = reasons.held("PS120001", "a person said so", name).text
    assert words_of(held)[:5] == ["pxefast", "deployment", "clear", "--device", name]
    waits = reasons.waits_behind("PS120001", 1.7e9, name, True).text
    assert words_of(waits)[:5] == ["pxefast", "deployment", "clear", "--device", name]
    alone = reasons.guid_alone_refused(name, GUID).text
    assert words_of(alone)[:5] == ["pxefast", "device", "set", name, "--add-mac"]
    conflict = reasons.guid_conflict(name, GUID, ("02:00:00:00:00:01",), {"02:00:00:00:00:02": 1.7e9})
    assert conflict is not None
    assert words_of(conflict.text) == ["pxefast", "device", "set", name, "--add-mac", "02:00:00:00:00:02"]
