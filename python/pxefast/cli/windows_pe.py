"""What the commands make of a boot image that is a WIM: checked on its way in, and told to people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pxefast import named_files
from pxefast.cli.options import choice
from pxefast.cli.output import note
from pxefast.errors import ContentError, InputError, PxefastError

if TYPE_CHECKING:
    from pxefast.content.library import Published
    from pxefast.content.wim import WimInfo
    from pxefast.decide.records import Architecture
    from pxefast.site.boot_images import BootImageRow

__all__ = ["authority", "examine", "facts", "missing_words"]

# The first bytes of every boot.sdi (B-43).
_SDI = b"$SDI0001"


def authority(text: str | None) -> str | None:
    """One of the authorities that boot files are signed under. Raises UsageError."""
    from pxefast.content.bootfiles import AUTHORITIES

    return None if text is None else choice("--boot-ca", text, AUTHORITIES)


def examine(
    wim: Path, stated: Architecture | None, boot_ca: str | None, boot_sdi: Path | None
) -> tuple[Architecture, str, Path | None]:
    """A WIM's architecture, a name for it, and the absolute path of the administrator's boot.sdi.

    What the WIM lacks is told on standard error. Raises ContentError for one that cannot boot, InputError.
    """
    from pxefast.content import bootfiles
    from pxefast.content.wim import read

    info = read(wim)
    architecture = _architecture(wim, info, stated)
    sdi = None if boot_sdi is None else _sdi(boot_sdi)
    plan = bootfiles.survey(wim, info, architecture, boot_ca, sdi)
    for firmware, words in missing_words([missing._asdict() for missing in plan.missing]).items():
        note(f"missing for {firmware}: {words}")
    if sdi is not None and plan.boot_sdi != str(sdi):
        note(f"the image has a boot.sdi of its own, {plan.boot_sdi}, which is served instead of {sdi}")
    if not plan.firmwares:
        note("no machine could boot from it without the needed ones; it cannot be distributed yet")
    return architecture, info.boot.name or wim.stem, sdi


def facts(row: BootImageRow, published: Published | None) -> dict[str, Any] | None:
    """What is in an image's WIM now, as JSON has it; None for an image of another kind.

    What cannot be read here is as it was packaged, and `unreadable` says why.
    """
    if row.kind != "windows-pe":
        return None
    from pxefast.content import bootfiles, wim

    known = {} if published is None else dict(published.facts)
    try:
        info = wim.read(row.source)
        known |= bootfiles.describe(info, None)
        plan = bootfiles.survey(row.source, info, row.architecture, row.boot_ca, row.boot_sdi)
        return {**bootfiles.describe(info, plan), "unreadable": None}
    except PxefastError as error:
        return {**known, "unreadable": str(error)}


def missing_words(missing: list[dict[str, Any]]) -> dict[str, str]:
    """The names that are missing, by the firmware that misses them; `all` is both."""
    words: dict[str, list[str]] = {}
    for item in missing:
        words.setdefault(item["firmware"], []).append(item["name"] + (" (needed)" if item["needed"] else ""))
    return {"any machine" if who == "all" else who: ", ".join(names) for who, names in words.items()}


def _architecture(wim: Path, info: WimInfo, stated: Architecture | None) -> Architecture:
    """The architecture of the image that boots (B-30). Raises ContentError if unknown, or other than stated."""
    from pxefast.site.boot_images import ARCHITECTURES

    found = info.boot.architecture
    if found is None:
        if stated is None:
            raise ContentError(f"{wim} does not say for which architecture it is; say so with --arch")
        return stated
    if stated not in (None, found):
        raise ContentError(f"{wim} is for {found}, not for {stated}; leave --arch out, or take another image")
    for known in ARCHITECTURES:
        if found == known:
            return known
    raise ContentError(f"{wim} is for {found}; only machines of {', '.join(ARCHITECTURES)} can be booted")


def _sdi(file: Path) -> Path:
    """The path, absolute. Raises InputError for what is no boot.sdi."""
    try:
        with named_files.open_regular(file) as reader:
            if reader.read(len(_SDI)) == _SDI:
                return file.resolve()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    raise InputError(f"{file} is no boot.sdi; take the ADK's: Media\\Boot\\boot.sdi of its Windows PE add-on")
