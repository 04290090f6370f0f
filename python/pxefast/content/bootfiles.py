"""The boot files that Windows PE is started with: found in its image, chosen, and named as they are served (B-39).

Nothing of it comes from pxefast: all of it is the administrator's (B-42). Names are those of the content library:
`boot.<ID>.wim`, and below `boot/` what a machine asks for as `SMSBoot/<ID>/...`, in lower case but for `Fonts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pxefast.content import wim as wims
from pxefast.content import wimlib
from pxefast.content.source import Progress, SourceFile
from pxefast.errors import ContentError

__all__ = [
    "AUTHORITIES",
    "BOOT_SDI",
    "Collected",
    "Missing",
    "Plan",
    "collect",
    "describe",
    "plan",
    "survey",
    "wim_name",
]

# The authorities that Microsoft signs boot files under: Windows Production PCA 2011, Windows UEFI CA 2023 (B-40).
AUTHORITIES = ("2011", "2023")
# Where an image may hold boot.sdi, the best first (B-41).
BOOT_SDI = ("sms/boot/boot.sdi", "windows/boot/dvd/efi/boot.sdi", "windows/boot/dvd/pcat/boot.sdi")

_BIOS = ("pxeboot.n12", "bootmgr.exe", "pxeboot.com", "abortpxe.com", "wdsnbp.com")
_HEADLESS = ("hdlscom1.com", "hdlscom1.n12", "hdlscom2.com", "hdlscom2.n12")
_FONTS = ("wgl4_boot.ttf", "segmono_boot.ttf", "segoe_slboot.ttf", "segoen_slboot.ttf")
# What stands between `windows/boot/` and the file, and whether it is of the 2023 set.
_FOLDERS = {
    "pxe": ("2011", "programs"),
    "efi": ("2011", "programs"),
    "fonts": ("2011", "fonts"),
    "pxe_ex": ("2023", "programs"),
    "efi_ex": ("2023", "programs"),
    "fonts_ex": ("2023", "fonts"),
}
# Boot programs that firmware checks the signature of: never one of the other authority instead.
_SIGNED = ("bootmgfw.efi", "wdsmgfw.efi")
# Which of an image's many files are served from a folder of programs.
_PLACES = {"pxe": (*_BIOS, *_HEADLESS, "wdsmgfw.efi"), "efi": ("bootmgfw.efi", "boot.stl")}
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


class Missing(NamedTuple):
    """A file that the image lacks. `firmware`: who misses it, bios, uefi or all; `needed`: to boot at all."""

    name: str
    firmware: str
    needed: bool
    why: str


class Plan(NamedTuple):
    """What is served beside an image: name in the library -> path in the image, as it spells it.

    `boot_ca`: the authority of the UEFI programs, None without any; `authorities`: those that the image has programs
    of; `boot_sdi`: where boot.sdi comes from, a path of the image or the administrator's file, None without any;
    `firmwares`: bios, uefi or both, those that can boot it.
    """

    files: dict[str, str]
    boot_ca: str | None
    authorities: tuple[str, ...]
    boot_sdi: str | None
    missing: tuple[Missing, ...]
    firmwares: tuple[str, ...]


class Collected(NamedTuple):
    """Files to publish; facts about the image for people, as JSON has them; what it does not hold."""

    files: list[SourceFile]
    facts: dict[str, Any]
    missing: list[Missing]


def wim_name(image_id: str) -> str:
    """What the image itself is called in the library (CM-114)."""
    return f"boot.{image_id}.wim"


def plan(paths: Iterable[str], architecture: str, boot_ca: str | None, boot_sdi: Path | None) -> Plan:
    """Which of an image's paths are served, and as what.

    `boot_ca` None: 2011 when both are there, else what is there. The administrator's `boot_sdi` is used where the image
    has none. Raises ContentError for an authority that the image has no boot manager of.
    """
    held: dict[tuple[str, str], str] = {}
    found: dict[str, str] = {}
    for path in paths:
        folded = path.lower()
        if folded in BOOT_SDI:
            found.setdefault(folded, path)
        served = _served(folded, architecture)
        if served is not None:
            held.setdefault(served, path)
    manager = f"boot/{architecture}/bootmgfw.efi"
    authorities = tuple(year for year in AUTHORITIES if (manager, year) in held)
    chosen = _chosen(authorities, boot_ca)
    files: dict[str, str] = {}
    for name in sorted({name for name, _ in held}):
        order = sorted(AUTHORITIES, key=lambda year: year != (chosen or "2011"))
        years = order[:1] if name.endswith(_SIGNED) else order
        files.update((name, held[name, year]) for year in reversed(years) if (name, year) in held)
    own = next((found[place] for place in BOOT_SDI if place in found), None)
    if own is not None:
        files["boot/boot.sdi"] = own
    sdi = own or (None if boot_sdi is None else str(boot_sdi))
    # A machine with arm64 has no BIOS.
    kinds = ("uefi",) if architecture == "arm64" else ("bios", "uefi")
    missing = tuple(item for item in _missing(files, architecture, sdi) if item.firmware in (*kinds, "all"))
    lacking = {item.firmware for item in missing if item.needed}
    firmwares = () if "all" in lacking else tuple(kind for kind in kinds if kind not in lacking)
    return Plan(files, chosen, authorities, sdi, missing, firmwares)


def survey(
    wim: Path, info: wims.WimInfo, architecture: str, boot_ca: str | None, boot_sdi: Path | None
) -> Plan:
    """The plan for an image that lies there; nothing is taken out of it.

    Raises ContentError, and CannotOpen without wimlib-imagex.
    """
    return plan(wimlib.paths(wim, info.boot_index), architecture, boot_ca, boot_sdi)


def collect(
    wim: Path,
    image_id: str,
    architecture: str,
    boot_ca: str | None,
    boot_sdi: Path | None,
    into: Path,
    progress: Progress | None = None,
) -> Collected:
    """The image and its boot files, ready to publish; what is taken out of it is written below the folder `into`.

    Raises ContentError, also for an image that no machine could boot; CannotOpen without wimlib-imagex.
    """
    info = wims.read(wim)
    chosen = survey(wim, info, architecture, boot_ca, boot_sdi)
    if not chosen.firmwares:
        raise ContentError(_hopeless(wim, chosen))
    told = None if progress is None else lambda done, total, _: progress(done, total, "boot files")
    arrived = wimlib.extract(wim, info.boot_index, list(chosen.files.values()), into, told)
    files = [_file(wim_name(image_id), wim.resolve())]
    for name, path in chosen.files.items():
        if path not in arrived:
            raise ContentError(
                f"{wim}: {path} could not be read; is the image whole, and left alone meanwhile?"
            )
        files.append(_file(name, arrived[path]))
    if "boot/boot.sdi" not in chosen.files and boot_sdi is not None:
        files.append(_file("boot/boot.sdi", boot_sdi.resolve()))
    return Collected(sorted(files), describe(info, chosen), list(chosen.missing))


def describe(info: wims.WimInfo, chosen: Plan | None) -> dict[str, Any]:
    """What people want to know of an image, as JSON has it; without a plan what its header and XML say."""
    image = info.boot
    facts = {
        "image_name": image.name,
        "edition": image.edition,
        "version": image.version,
        "build": image.build,
        "languages": list(image.languages),
        "compression": info.compression,
        "images": len(info.images),
        "boot_index": info.boot_index,
    }
    if chosen is None:
        return facts
    return {
        **facts,
        "boot_ca": chosen.boot_ca,
        "authorities": list(chosen.authorities),
        "boot_sdi": chosen.boot_sdi,
        "boots": list(chosen.firmwares),
        "missing": [missing._asdict() for missing in chosen.missing],
    }


def _served(path: str, architecture: str) -> tuple[str, str] | None:
    """The name that a folded path is served as, and the set that it is of; None for what is not served."""
    parts = path.split("/")
    if parts[:2] != ["windows", "boot"] or len(parts) not in (4, 5) or not all(map(_NAME.fullmatch, parts)):
        return None
    year, kind = _FOLDERS.get(parts[2], ("", ""))
    folder, name = parts[2].removesuffix("_ex"), parts[-1]
    if year == "2023":
        plain = re.sub(r"_ex(\.efi|\.ttf|\.efi\.mui)$", r"\1", name)
        if plain == name:
            return None
        name = plain
    if kind == "fonts" and len(parts) == 4 and name.endswith(".ttf"):
        return f"boot/Fonts/{name}", year
    if kind == "programs" and len(parts) == 5 and name.endswith(".mui"):
        return f"boot/{architecture}/{parts[3]}/{name}", year
    if kind == "programs" and len(parts) == 4 and name in _PLACES[folder]:
        return f"boot/{architecture}/{name}", year
    return None


def _chosen(authorities: tuple[str, ...], wanted: str | None) -> str | None:
    if wanted is None:
        return authorities[0] if authorities else None
    if wanted in authorities:
        return wanted
    ending = "_EX" if wanted == "2023" else ""
    has = f"it has those of {authorities[0]}: leave --boot-ca out" if authorities else "it has none at all"
    raise ContentError(
        f"the image has no boot files signed under the authority of {wanted} "
        f"(Windows\\Boot\\EFI{ending}\\bootmgfw{ending}.efi); {has}, or bring a newer image"
    )


def _missing(files: dict[str, str], architecture: str, sdi: str | None) -> Iterable[Missing]:
    """What is not there, the needed first."""
    if sdi is None:
        yield Missing("boot.sdi", "all", True, "the RAM disk that the image is loaded into begins with it")
    wanted = [
        ("bootmgfw.efi", "uefi", True, "the boot manager"),
        ("pxeboot.n12", "bios", True, "the boot program that asks nobody"),
        ("bootmgr.exe", "bios", True, "the boot manager"),
        ("pxeboot.com", "bios", False, "the boot program that asks for F12, for available deployments"),
        ("abortpxe.com", "bios", False, "ends a network boot; pxefast's own does it instead"),
        ("wdsnbp.com", "bios", False, "asks and waits, for pending machines"),
        ("wdsmgfw.efi", "uefi", False, "asks and waits, for available deployments and pending machines"),
        ("boot.stl", "uefi", False, "boot managers of Windows 11 24H2 and later ask for it"),
    ]
    for name, firmware, needed, why in wanted:
        if f"boot/{architecture}/{name}" not in files:
            yield Missing(name, firmware, needed, why)
    for name in _FONTS:
        if f"boot/Fonts/{name}" not in files:
            yield Missing(name, "all", False, "without it the boot manager's messages cannot be read")


def _hopeless(wim: Path, chosen: Plan) -> str:
    names = ", ".join(f"{missing.name} ({missing.firmware})" for missing in chosen.missing if missing.needed)
    lacking = f"{wim}: no machine could boot from it, for it has no {names}"
    if chosen.boot_sdi is None:
        return (
            f"{lacking}; give the ADK's Media\\Boot\\boot.sdi with: pxefast boot-image set ID --boot-sdi FILE"
        )
    return f"{lacking}; take the winpe.wim of the ADK's Windows PE add-on, or Configuration Manager's"


def _file(name: str, path: Path) -> SourceFile:
    """Raises ContentError for what is no regular file; a link in an image is never followed."""
    try:
        if path.is_symlink() or not path.is_file():
            raise ContentError(f"{path}: {name.rpartition('/')[2]} must be a regular file")
        return SourceFile(name, path, path.stat().st_size)
    except OSError as error:
        raise ContentError(f"{path}: {error.strerror}") from None
