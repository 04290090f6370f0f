"""Makes Windows PE images for tests: invented bytes under the real names (B-38, B-42), written by wimlib-imagex.

What a file holds follows from its path, the architecture and the seed alone, so that a test knows each byte that
must arrive:

    wim = wims.make(tmp_path / "boot.wim", architecture="arm64", ca=("2011", "2023"))
    wim.boot("2011")["boot/arm64/bootmgfw.efi"]      # the bytes; names as the content library has them
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

Case = Literal["real", "lower", "upper", "mixed"]

MACHINES = {"x86": 0x14C, "x64": 0x8664, "arm64": 0xAA64}
# What WINDOWS/ARCH says (B-30).
NUMBERS = {"x86": 0, "x64": 9, "arm64": 12}
FONTS = ("segmono_boot.ttf", "segoe_slboot.ttf", "segoen_slboot.ttf", "wgl4_boot.ttf")
BIOS = ("abortpxe.com", "bootmgr.exe", "pxeboot.com", "pxeboot.n12", "wdsnbp.com")
HEADLESS = ("hdlscom1.com", "hdlscom1.n12", "hdlscom2.com", "hdlscom2.n12")
# Where boot.sdi may lie (B-41).
SDI = {
    "sms": "sms/boot/boot.sdi",
    "efi": "Windows/Boot/DVD/EFI/boot.sdi",
    "pcat": "Windows/Boot/DVD/PCAT/boot.sdi",
}
PAYLOAD = "Windows/System32/payload.bin"

_WRITE_IN_PROGRESS = 0x40
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Wim:
    """A test image: where it is, and what its bootable image holds.

    `files` maps paths as the image spells them, with `/`, to bytes, but for the payload, of which the size is known.
    """

    path: Path
    architecture: str
    files: Mapping[str, bytes]
    payload: int
    seed: int

    def boot(self, ca: str = "2011") -> dict[str, bytes]:
        """What is to be served beside the image: name in the content library -> bytes (B-39, B-40)."""
        held = {path.lower(): content for path, content in self.files.items()}
        served: dict[str, bytes] = {}

        def serve(name: str, *paths: str) -> None:
            for path in paths:
                if path.lower() in held:
                    served[name] = held[path.lower()]
                    return

        folder = f"boot/{self.architecture}"
        new = ca == "2023"
        for name in (*BIOS, *HEADLESS):
            serve(f"{folder}/{name}", f"Windows/Boot/PXE/{name}")
        for name, place in (("wdsmgfw", "PXE"), ("bootmgfw", "EFI")):
            path = f"Windows/Boot/{place}_EX/{name}_EX.efi" if new else f"Windows/Boot/{place}/{name}.efi"
            serve(f"{folder}/{name}.efi", path)
        serve(f"{folder}/boot.stl", "Windows/Boot/EFI/boot.stl")
        for path, content in held.items():
            parts = path.split("/")
            if parts[:2] == ["windows", "boot"] and parts[2] in ("pxe", "efi") and path.endswith(".mui"):
                served[f"{folder}/{'/'.join(parts[3:])}"] = content
        for font in FONTS:
            plain, signed = f"Windows/Boot/Fonts/{font}", f"Windows/Boot/FONTS_EX/{font[:-4]}_EX.ttf"
            serve(f"boot/Fonts/{font}", *((signed, plain) if new else (plain, signed)))
        serve("boot/boot.sdi", *SDI.values())
        return served

    def hashes(self, ca: str = "2011") -> dict[str, str]:
        """The SHA-256 of each of `boot`."""
        return {name: sha256(content) for name, content in self.boot(ca).items()}

    def payload_sha256(self) -> str:
        """The SHA-256 of the payload, `PAYLOAD` in the image."""
        digest = hashlib.sha256()
        for part in _payload(self.seed, self.payload):
            digest.update(part)
        return digest.hexdigest()


def make(
    path: Path,
    *,
    architecture: str = "x64",
    compress: Literal["none", "XPRESS", "LZX", "LZMS"] = "LZX",
    solid: bool = False,
    pipable: bool = False,
    split: bool = False,
    unfinished: bool = False,
    images: int = 1,
    bootable: bool = True,
    case: Case = "real",
    ca: tuple[str, ...] = ("2011",),
    sdi: tuple[str, ...] = ("efi",),
    bios: bool = True,
    headless: bool = False,
    wdsmgfw: bool = True,
    fonts: bool = True,
    stl: bool = True,
    mui: tuple[str, ...] = ("en-US",),
    languages: tuple[str, ...] = ("en-US",),
    edition: str = "WindowsPE",
    build: int = 26100,
    state_architecture: bool = True,
    payload: int = 64 * 1024,
    seed: int = 0,
    over: Mapping[str, bytes] | None = None,
) -> Wim:
    """Write an image to `path`; the last of its `images` is the one that boots.

    `ca`: which sets of signed boot files are there; `sdi`: which of `SDI`'s places hold a boot.sdi; `split` leaves
    the first part at `path`; `state_architecture=False` leaves no trace of the architecture in the image. `over` are
    files with bytes of their own, by their real spelling.
    """
    tree = _tree(
        architecture, ca=ca, sdi=sdi, bios=bios, headless=headless, wdsmgfw=wdsmgfw, fonts=fonts, stl=stl, mui=mui,
        pe=state_architecture, seed=seed,
    )  # fmt: skip
    files = {spell(name, case): content for name, content in (tree | dict(over or {})).items()}
    whole = path.with_suffix(".whole") if split else path
    whole.unlink(missing_ok=True)
    for index in range(1, images + 1):
        last = index == images
        folder = path.with_name(f".tree-{path.name}")
        _write(folder, files if last else {"Windows/System32/other.txt": b"not this one"})
        if last:
            _write_payload(folder / spell(PAYLOAD, case), seed, payload)
        command = ["capture" if index == 1 else "append", str(folder), str(whole), f"PE {index}"]
        if index == 1:
            command += ["--solid"] if solid else [f"--compress={compress}"]
            command += ["--pipable"] if pipable else []
        command += ["--boot"] if bootable and last else []
        command += ["--flags=WindowsPE"]
        run(*command)
        shutil.rmtree(folder)
        facts = {"WINDOWS/ARCH": str(NUMBERS[architecture])} if state_architecture else {}
        facts |= {"WINDOWS/EDITIONID": edition, "WINDOWS/VERSION/MAJOR": "10", "WINDOWS/VERSION/MINOR": "0"}
        facts |= {"WINDOWS/VERSION/BUILD": str(build), "WINDOWS/LANGUAGES/DEFAULT": languages[0]}
        facts |= {f"WINDOWS/LANGUAGES/LANGUAGE[{n}]": name for n, name in enumerate(languages, 1)}
        run(
            "info",
            str(whole),
            str(index),
            *(f"--image-property={key}={value}" for key, value in facts.items()),
        )
    if split:
        # Parts of half the payload, in MiB: two of them at least.
        run("split", str(whole), str(path), str(max(payload, 8192) / 2 / _CHUNK))
        whole.unlink()
    if unfinished:
        _raise_flag(path, _WRITE_IN_PROGRESS)
    return Wim(path, architecture, files, payload, seed)


def content(path: str, architecture: str, seed: int = 0) -> bytes:
    """The bytes of a file of a test image, some 3 to 9 KB that follow from its path in its real spelling."""
    name = f"{architecture}/{path}/{seed}".encode()
    head = b"" if not path.endswith((".efi", ".exe", ".dll")) else pe(architecture)
    return (
        head
        + name
        + random.Random(name).randbytes(3000 + int.from_bytes(hashlib.sha256(name).digest()[:2]) % 6000)
    )


def pe(architecture: str) -> bytes:
    """A program of 512 bytes that says for which processor it is, and does nothing."""
    stub = bytearray(512)
    stub[0:2] = b"MZ"
    struct.pack_into("<I", stub, 0x3C, 0x80)
    struct.pack_into("<4sH", stub, 0x80, b"PE\0\0", MACHINES[architecture])
    return bytes(stub)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def spell(path: str, case: Case) -> str:
    """A path in another case."""
    if case == "lower":
        return path.lower()
    if case == "upper":
        return path.upper()
    return path if case == "real" else "/".join(part.swapcase() for part in path.split("/"))


def run(*arguments: str) -> str:
    """wimlib-imagex, or an error with what it said; its output."""
    if shutil.which("wimlib-imagex") is None:
        pytest.skip("wimlib-imagex is not installed; apt install wimtools")
    environment = {**os.environ, "LC_ALL": "C", "WIMLIB_IMAGEX_IGNORE_CASE": "1"}
    done = subprocess.run(
        ["wimlib-imagex", *arguments], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, f"wimlib-imagex {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def extracted(wim: Path, path: str) -> bytes:
    """A file of a WIM by 7-Zip, which shares no code with wimlib; the path as the WIM spells it."""
    program = shutil.which("7z")
    if program is None:
        pytest.skip("7z is not installed; apt install p7zip-full")
    return subprocess.run([program, "e", "-so", str(wim), path], check=True, capture_output=True).stdout


def _tree(
    architecture: str,
    *,
    ca: tuple[str, ...],
    sdi: tuple[str, ...],
    bios: bool,
    headless: bool,
    wdsmgfw: bool,
    fonts: bool,
    stl: bool,
    mui: tuple[str, ...],
    pe: bool,
    seed: int,
) -> dict[str, bytes]:
    names = ["Windows/System32/startnet.cmd", "Windows/System32/winpe.jpg"]
    names += ["Windows/System32/kernel32.dll", "Windows/System32/ntoskrnl.exe"] if pe else []
    names += [f"Windows/Boot/PXE/{name}" for name in BIOS] if bios else []
    names += [f"Windows/Boot/PXE/{name}" for name in HEADLESS] if headless else []
    names += [SDI[place] for place in sdi]
    names += ["Windows/Boot/EFI/boot.stl"] if stl else []
    for language in mui:
        names += [f"Windows/Boot/PXE/{language}/bootmgr.exe.mui"] if bios else []
        names += [f"Windows/Boot/EFI/{language}/bootmgfw.efi.mui"]
    for year in ca:
        end = "_EX" if year == "2023" else ""
        names += [f"Windows/Boot/EFI{end}/bootmgfw{end}.efi"]
        names += [f"Windows/Boot/PXE{end}/wdsmgfw{end}.efi"] if wdsmgfw else []
        folder = "FONTS_EX" if end else "Fonts"
        names += [f"Windows/Boot/{folder}/{font[:-4]}{end}.ttf" for font in FONTS] if fonts else []
    return {name: content(name, architecture, seed) for name in names}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _write_payload(target: Path, seed: int, size: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        for part in _payload(seed, size):
            file.write(part)


def _payload(seed: int, size: int) -> Iterator[bytes]:
    source = random.Random(seed)
    for start in range(0, size, _CHUNK):
        yield source.randbytes(min(_CHUNK, size - start))


def _raise_flag(path: Path, flag: int) -> None:
    with path.open("r+b") as file:
        file.seek(16)
        (flags,) = struct.unpack("<I", file.read(4))
        file.seek(16)
        file.write(struct.pack("<I", flags | flag))
