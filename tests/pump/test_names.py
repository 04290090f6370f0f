"""Which names are files, to whom, and that nothing else is ever opened (T6, T7, R-26; W-77, W-78)."""

from __future__ import annotations

import itertools
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..loopback.home import write_files
from ..loopback.peer import DATA, ERROR, Peer
from ..loopback.point import Point
from ..loopback.service import PATIENCE, SOON, eventually, moved

CANARY = b"a secret that lies outside of the content library"
# the ways that others were led out by (T6). {} is a file's name.
WAYS_OUT = (
    "../{}", "../../{}", "../../../../../../../../{}", "./{}", "a/../{}", "a/../../{}", "a/b/../../../{}", "....//{}",
    "..../{}", "....//....//{}", ".../{}", "..//{}", "/../{}", "//{}", "///{}", "/{}", "{}/..", "{}/.", "{}/", "C:/{}",
    "C:{}", "file:///{}", "//server/share/{}", "//?/C:/{}", "//./{}", "%2e%2e/{}", "%2e%2e%2f{}", "..%2f{}", "..%5c{}",
    "%252e%252e/{}", "..%c0%af{}", "..%00/{}", "~/{}", "~root/{}", "$HOME/{}", "`cat {}`", "|cat {}", "{};id", "*", "?",
    "{}\0.efi", "\0{}", "{}\n", "{}\r\n", "\n{}", "a\nb/{}", "a\x1b[31m/{}", "a\x7f/{}", "{}::$DATA", "{}.",
    "{} ", " {}", ". ./{}", ".. /{}", " ../{}", "..\xff/{}", "\u2025/{}", "\uff0e\uff0e/{}", "CON", "NUL", "AUX.bin",
    "CON/{}", "{}" * 40, "a/" * 250 + "{}", "x" * 256, "x" * 513, "SMSImages/{}", "SMSImages/../{}",
    "SMSImages//../{}",
    "SMSImages/PS100001/../{}", "SMSImages/PS100001/../../{}", "SMSImages/PS100001/../../../{}", "SMSImages/PS100001/",
    "SMSImages/PS100001", "SMSImages/", "SMSImages/PS100001/boot.efi/..", "SMSImages/PS100001/boot.efi/../../{}",
    "images/PS100001.json", "blobs/{}", "../site.db", "../pxefast.toml", "SMSImages/../../site.db", "proc/self/mem",
    "/proc/self/environ", "/dev/zero", "/dev/mem", "{}%s%n", "${jndi:ldap://x}", "{{7*7}}",
)  # fmt: skip

# What boot managers look for and can do without (W-72, W-73).
ABSENT = [
    "\\hiberfil.sys", "\\smsboot\\x64\\boot.ini", "\\Boot\\Fonts\\wgl4_boot.ttf",
    "\\SMSBoot\\Fonts\\wgl4_boot.ttf",
    *(
        f"\\EFI\\Microsoft\\Boot\\{name}"
        for name in (
            "Policies\\SbcpFlightToken.p7b", "SecureBootPolicy.p7b", "SiPolicy.p7b", "SkuSiPolicy.p7b",
            "WinSiPolicy.p7b", "ATPSiPolicy.p7b", "VbsSiPolicy.p7b", "Fonts\\wgl4_boot.ttf",
            "Fonts\\segoe_slboot.ttf", "Fonts\\segmono_boot.ttf", "boot.stl", "resources\\bootres.dll",
        )
    ),
]  # fmt: skip


def ways_out(targets: list[str]) -> list[bytes]:
    """Every way to each target, with each kind of slash."""
    ways = [way.replace("{}", target.lstrip("/")) for way, target in itertools.product(WAYS_OUT, targets)]
    spelled = [way.replace("/", slash) for way in ways for slash in ("/", "\\")]
    return list(dict.fromkeys(way.encode("utf-8", "surrogateescape") for way in spelled))


def answer(point: Point, name: bytes) -> tuple[int, int, bytes] | None:
    """What one request for this name gets; None for silence, which is certain: the next request was answered."""
    with Peer(point.service.ports["tftp"]) as peer, Peer(point.service.ports["tftp"], "127.0.0.9") as other:
        peer.tell(b"\0\1" + name + b"\0octet\0")
        assert other.ask("nothing").number == 1
        try:
            packet = peer.receive(0.001)
        except TimeoutError:
            return None
        peer.send(ERROR, 0)
        return packet.opcode, packet.number, packet.rest


@contextmanager
def opened(pid: int, log: Path) -> Iterator[None]:
    """Write every path that a process opens to `log`, where strace is there to tell."""
    program = shutil.which("strace")
    if program is None:
        yield
        return
    command = [program, "-f", "-qq", "-e", "trace=open,openat,openat2,creat", "-o", str(log), "-p", str(pid)]
    with subprocess.Popen([*command, "-v"], stderr=subprocess.DEVNULL) as tracer:
        try:
            traced = Path(f"/proc/{pid}/status")
            eventually(lambda: f"TracerPid:\t{tracer.pid}" in traced.read_text() or tracer.poll() is not None)
            yield
        finally:
            tracer.send_signal(signal.SIGTERM)
            tracer.wait(PATIENCE)


def test_no_name_leads_out_of_the_library(point: Point, tmp_path: Path) -> None:
    """R-26: what is opened is read from strace."""
    inside = point.home.folder / "canary.bin"
    outside = tmp_path / "canary.bin"
    for canary in (inside, outside):
        canary.write_bytes(CANARY)
    names = ways_out(["canary.bin", str(outside), "etc/passwd"])
    assert len(names) >= 200
    log = tmp_path / "opened"
    with opened(point.service.pid, log):
        for name in names:
            got = answer(point, name)
            assert got is None or got[0] == ERROR, name
            # What follows a NUL is the mode.
            assert got is None or got[1] in ((4,) if b"\0" in name else (1, 2)), (name, got)
            assert got is None or CANARY not in got[2]
        with Peer(point.service.ports["tftp"]) as peer:
            assert peer.ask(point.name("sized/1427.bin")).opcode == DATA
    if log.exists():
        lines = log.read_text(errors="replace").splitlines()
        content = [line for line in lines if "openat2" in line]
        assert content, "strace has seen nothing"
        assert all('"blobs/' in line and "RESOLVE_BENEATH" in line for line in content), content
        assert not [line for line in lines if "canary" in line or "passwd" in line]


def test_what_boot_managers_look_for_in_vain_is_refused_without_a_look_at_the_disk(
    point: Point, tmp_path: Path
) -> None:
    """R-26."""
    machine = point.machine()
    with machine, Peer(point.service.ports["tftp"], machine.address[0]) as peer:
        assert machine.boot().file
        before = point.service.counters()
        log = tmp_path / "opened"
        with opened(point.service.pid, log):
            for name in ABSENT:
                missing = peer.ask(
                    name, [("tsize", 0), ("blksize", 1456), ("windowsize", 4), ("msftwindow", 31416)]
                )
                assert (missing.opcode, missing.number) == (ERROR, 1), name
        assert moved(before, point.service.counters())["tftp.refused.not_found"] == len(ABSENT)
    if log.exists():
        # The service itself rewrites its status each second; the content library is opened by openat2 alone.
        assert "openat2" not in log.read_text(errors="replace")


def test_a_name_is_found_in_any_case_and_with_any_slashes(point: Point, files: dict[str, bytes]) -> None:
    full = point.name("sized/513.bin")
    for name in (
        full.upper(),
        full.lower(),
        full.replace("/", "\\"),
        "\\" + full.replace("/", "\\").upper(),
        "//" + full.replace("/", "//"),
        full.replace("/", "\\/"),
        full + "\n",
        full + "\r\n ",
        full.encode() + b"\xff",
    ):
        with Peer(point.service.ports["tftp"]) as peer:
            assert peer.fetch(name) == files["sized/513.bin"], name


def test_a_published_name_of_other_letters_is_served(point: Point) -> None:
    folder = write_files(point.home.folder.parent / "letters", {"Größe/ß %20.bin": b"yes", "boot.efi": b"x"})
    image = point.home.publish(folder, uefi="boot.efi")
    with Peer(point.service.ports["tftp"]) as peer:
        eventually(lambda: peer.ask(f"SMSImages/{image}/boot.efi").opcode == DATA, SOON)
    with Peer(point.service.ports["tftp"]) as peer:
        assert peer.fetch(f"smsimages/{image}\\GRößE/ß %20.BIN") == b"yes"


def test_an_address_without_a_session_sees_nothing_at_the_root(point: Point) -> None:
    with Peer(point.service.ports["tftp"], "127.0.0.99") as peer:
        for name in ("boot.efi", "/boot.efi", "grub/grub.cfg", "/"):
            assert peer.ask(name).opcode == ERROR


@pytest.fixture(scope="module")
def second(point: Point) -> str:
    """Another boot image with a file of the same name; its id."""
    files = {"boot.efi": b"the second's program", "grub/grub.cfg": b"the second's menu"}
    return point.home.publish(write_files(point.home.folder.parent / "second", files), uefi="boot.efi")


def read(point: Point, address: str, name: str) -> bytes | None:
    """A file of at most one block as this address sees it; None where it is missing."""
    with Peer(point.service.ports["tftp"], address) as peer:
        packet = peer.ask(name)
        if packet.opcode == ERROR:
            assert packet.number == 1
            return None
        peer.ack(1)
        return packet.rest


def test_a_machine_sees_its_own_images_folder_as_root_once_it_was_told_what_to_boot(
    point: Point, second: str
) -> None:
    home = point.home
    one = point.machine(address="127.0.0.12")
    two = point.client("02:00:00:00:07:02", "77777777-0000-0000-0000-000000000002", address="127.0.0.13")
    home.device("two", two.mac, two.guid)
    home.deploy(second, ["two"])
    eventually(lambda: two.discover().reply, SOON)
    assert one.discover().reply is not None
    for address in ("127.0.0.12", "127.0.0.13"):
        assert read(point, address, "/grub/grub.cfg") is None, "an offer is not yet a session"
    assert one.request().file == point.name("boot.efi")
    assert two.request().file == f"SMSImages/{second}/boot.efi"
    for _ in range(2):
        assert read(point, "127.0.0.12", "/grub/grub.cfg") == b"the first's menu"
        assert read(point, "127.0.0.13", "\\Grub\\GRUB.cfg") == b"the second's menu"
        assert read(point, "127.0.0.14", "/grub/grub.cfg") is None
    assert read(point, "127.0.0.12", "boot.efi") == b"the boot program for uefi\n"
    assert read(point, "127.0.0.13", "boot.efi") == b"the second's program"


def test_a_machine_that_asks_by_a_full_name_sees_that_images_folder_from_then_on(
    point: Point, second: str
) -> None:
    address = "127.0.0.15"
    assert read(point, address, "/grub/grub.cfg") is None
    assert read(point, address, point.name("grub/grub.cfg")) == b"the first's menu"
    assert read(point, address, "/grub/grub.cfg") == b"the first's menu"
    assert read(point, address, f"SMSImages/{second}/grub/grub.cfg") == b"the second's menu"
    assert read(point, address, "/grub/grub.cfg") == b"the second's menu"


def test_a_full_name_that_is_no_file_changes_nobodys_root(point: Point) -> None:
    address = "127.0.0.16"
    assert read(point, address, point.name("grub/grub.cfg")) == b"the first's menu"
    assert read(point, address, "SMSImages/PS1FFFFF/grub/grub.cfg") is None
    assert read(point, address, "/grub/grub.cfg") == b"the first's menu"


def test_a_withdrawn_image_is_gone(point: Point) -> None:
    folder = write_files(point.home.folder.parent / "short", {"boot.efi": b"short"})
    image = point.home.publish(folder, uefi="boot.efi")
    eventually(lambda: read(point, "127.0.0.17", f"SMSImages/{image}/boot.efi"), SOON)
    point.home.run("boot-image", "remove", image, "--yes")
    eventually(lambda: read(point, "127.0.0.17", f"SMSImages/{image}/boot.efi") is None, SOON)
    assert read(point, "127.0.0.17", "/boot.efi") is None
