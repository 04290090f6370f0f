"""Fuzzes a reader of formats, led by coverage: python -m tests.fuzz.run hive|wim|xml|capture [options of libFuzzer]."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pxefast.content", "pxefast.cli.capture"]):
    from . import formats


def main() -> None:
    name, *options = sys.argv[1:]
    here = Path(__file__).parent
    corpus, artifacts = here / "corpus" / name, here / "artifacts" / name
    for folder in (corpus, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in formats.seeds(name):
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    atheris.Setup(
        [sys.argv[0], f"-artifact_prefix={artifacts}/", *options, str(corpus)], formats.TARGETS[name]
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
