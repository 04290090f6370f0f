"""The short form of fuzzing: damaged good files, a fixed number of each. The long form is `make fuzz`."""

from __future__ import annotations

import random

import pytest

from . import formats

EDGES = (
    0,
    1,
    2,
    4,
    5,
    0x20,
    0x7F,
    0x80,
    0xFF,
    0x1000,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFF8,
    0xFFFFFFFF,
)


def damaged(choice: random.Random, data: bytes) -> bytes:
    """The file after a few accidents."""
    changed = bytearray(data)
    for _ in range(choice.choice((1, 1, 2, 3, 8))):
        at = choice.randrange(len(changed) + 1)
        match choice.randrange(6):
            case 0:
                changed[at : at + 1] = choice.randbytes(1)
            case 1:
                size = choice.choice((1, 2, 4, 8))
                changed[at : at + size] = (choice.choice(EDGES) % (1 << 8 * size)).to_bytes(size, "little")
            case 2:
                # What is an offset in one place is a likely one in another.
                other = choice.randrange(len(changed) + 1) & ~3
                changed[at & ~3 : (at & ~3) + 4] = changed[other : other + 4]
            case 3:
                length = choice.randrange(1, 64)
                other = choice.randrange(len(changed) + 1)
                changed[at : at + length] = changed[other : other + length]
            case 4 if choice.random() < 0.2:
                del changed[at:]
            case _:
                changed[at:at] = changed[at : at + choice.randrange(1, 32)]
    return bytes(changed)


@pytest.mark.parametrize("target", formats.TARGETS)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(target: str, seed: int, long: bool) -> None:
    choice = random.Random(seed)
    good = formats.seeds(target)
    for data in good:
        formats.TARGETS[target](data)
    for _ in range(100_000 if long else 1_500):
        formats.TARGETS[target](damaged(choice, choice.choice(good)))
