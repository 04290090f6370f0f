"""What the tests of several rooms share."""

from __future__ import annotations

import os
import random

import pytest


@pytest.fixture(scope="session")
def seed() -> int:
    """Of every random choice; PXEFAST_SEED repeats a run."""
    number = int(os.environ.get("PXEFAST_SEED") or random.randrange(2**32))
    print(f"PXEFAST_SEED={number}")
    return number


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether time does not matter: PXEFAST_LONG=1."""
    return os.environ.get("PXEFAST_LONG") == "1"
