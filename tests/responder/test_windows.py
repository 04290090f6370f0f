"""Windows PE: what each situation's answer says, and whose a session's files are (W-56 to W-71, CM-86 to CM-90)."""

from __future__ import annotations

import json
import re
import struct
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from .. import wims
from ..loopback.home import LOOPBACK
from ..loopback.machine import REQUEST, Answer, Machine, options
from ..loopback.peer import ERROR, Peer
from ..loopback.point import Point
from ..loopback.service import SOON, eventually
from .test_reports import Session, report

BIOS, UEFI_X86, UEFI_X64, UEFI_ARM64 = 0, 6, 7, 11
VARIABLES, LOADER, STORE = 243, 250, 252
# What wdsmgfw.efi says first (W-66): no prompt yet, version 8.0, x64, nothing done.
WDSMGFW = bytes.fromhex("0c0100 0d020800 01020007 0e0100 ff")
SECRET = "hunter2-which-nobody-may-see"
SESSION_FILE = re.compile(
    r"\\SMSTemp\\\d{4}(\.\d\d){5}\.\d{4}\.\{[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}\}\.boot\.(bcd|var)"
)


class Windows(Point):
    """A distribution point with a Windows PE image."""

    def __init__(
        self, folder: Path, settings: Any = LOOPBACK, init: Sequence[str] = (), **image: Any
    ) -> None:
        super().__init__(folder, settings, init=init)
        self.wim = wims.make(folder / "boot.wim", **image)
        self.image = self.home.run("boot-image", "add", str(self.wim.path), "--name", "pe", "--quiet")
        self.home.run("content", "distribute", self.image)

    def program(self, file: str) -> str:
        return f"SMSBoot\\{self.image}\\x64\\{file}"

    def fetch(self, machine: Machine, name: str) -> bytes:
        with Peer(self.service.ports["tftp"], machine.address[0]) as peer:
            return peer.fetch(name)

    def refusal(self, address: str, name: str) -> int:
        """The error that such a request gets."""
        with Peer(self.service.ports["tftp"], address) as peer:
            packet = peer.ask(name)
        assert packet.opcode == ERROR
        return packet.number

    def set(self, **settings: str) -> None:
        for name, value in settings.items():
            self.home.run("setting", "set", name, value)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Windows]:
    with Windows(tmp_path_factory.mktemp("windows")) as point:
        yield point


@pytest.fixture
def setting(windows: Windows) -> Iterator[Any]:
    """Sets settings for one test, once the service follows them."""
    changed = []

    def change(**settings: str) -> None:
        changed.extend(settings)
        windows.set(**settings)
        windows.machine(None)  # the service knows what was changed before it

    yield change
    for name in changed:
        windows.home.run("setting", "reset", name)
    if changed:
        windows.machine(None)


def said(answer: Answer) -> dict[int, bytes]:
    assert answer.reply is not None, answer.event["text"]
    return dict(options(answer.reply.original))


def path(answer: Answer, option: int) -> str:
    """A session file's path, as options 252 and 243 say it."""
    value = said(answer)[option]
    if option == VARIABLES:
        assert value[0] == 1, "type 1, for type 2 is a key"
        assert value[1] == len(value) - 2
        value = value[2:]
    else:
        assert value.endswith(b"\0")
        value = value[:-1]
    text = value.decode("ascii")
    assert SESSION_FILE.fullmatch(text), text
    return text


def loader(machine: Machine, says: bytes = WDSMGFW, xid: int = 0x40E20100) -> Answer:
    """What wdsnbp.com or wdsmgfw.efi asks."""
    return machine.request(xid, extra=((LOADER, says),))


def test_a_required_boot_is_claimed_and_sent_to_the_boot_manager_and_its_store(windows: Windows) -> None:
    machine = windows.machine()
    answer = machine.request()
    assert answer.file == windows.program("bootmgfw.efi")
    assert LOADER not in said(answer)
    store, variables = path(answer, STORE), path(answer, VARIABLES)
    assert store[:-3] == variables[:-3]
    assert windows.fetch(machine, store)[:4] == b"regf"
    assert f"PXEFAST_DEPLOYMENT={answer.event['deployment']}\n".encode() in windows.fetch(machine, variables)
    assert "claimed" in answer.codes
    assert list(said(answer)) == sorted(
        said(answer), key=lambda code: (code > 242, code if code > 242 else 0)
    )


@pytest.mark.parametrize(
    ("architecture", "purpose", "file"),
    [
        (BIOS, "required", "pxeboot.n12"),
        (BIOS, "available", "pxeboot.com"),
        (UEFI_X64, "required", "bootmgfw.efi"),
        (UEFI_X64, "available", "wdsmgfw.efi"),
    ],
)
def test_the_simple_chain_names_the_program_of_the_situation(
    windows: Windows, architecture: int, purpose: str, file: str
) -> None:
    answer = windows.machine(purpose, architecture=architecture).boot()
    assert answer.file == windows.program(file)
    assert {STORE, VARIABLES} <= said(answer).keys()


def test_wdsmgfw_is_told_to_ask_a_person_and_later_not_to_ask_again(windows: Windows) -> None:
    machine = windows.machine("available")
    assert machine.boot().file == windows.program("wdsmgfw.efi")
    asked = loader(machine)
    assert asked.file == windows.program("bootmgfw.efi")
    assert said(asked)[LOADER] == bytes.fromhex("0b0101 ff")
    done = loader(machine, bytes.fromhex("0c0101 ff"))
    assert said(done)[LOADER] == bytes.fromhex("0b0102 ff")


def test_a_required_boot_tells_a_loader_that_nobody_is_asked(windows: Windows, setting: Any) -> None:
    setting(windows_uefi_chain="wdsmgfw", windows_bios_chain="wdsnbp")
    machine = windows.machine()
    first = machine.boot()
    assert first.file == windows.program("wdsmgfw.efi")
    assert first.codes.count("claimed") or "same_session" in first.codes, (
        "claimed before a mere loader is named"
    )
    second = loader(machine)
    assert second.file == windows.program("bootmgfw.efi")
    assert said(second)[LOADER] == bytes.fromhex("0b0102 ff")
    assert "same_session" in second.codes
    assert path(second, STORE) == path(first, STORE)
    bios = windows.machine(architecture=BIOS)
    assert bios.boot().file == windows.program("wdsnbp.com")
    last = loader(bios, bytes.fromhex("01020000 0e0100 ff"))
    assert last.file == windows.program("pxeboot.n12")
    assert LOADER not in said(last), "pxeboot.n12 needs to be told nothing"


def test_the_exchange_with_wdsmgfw_is_the_worked_example_byte_for_byte(
    windows: Windows, setting: Any
) -> None:
    """E-6, with names and addresses of this site."""
    setting(option_250_in_final_ack="never")
    machine = windows.machine()
    chaddr, guid = bytes.fromhex(machine.mac.replace(":", "")), uuid.UUID(machine.guid).bytes_le
    client, server = (bytes(map(int, name.split("."))) for name in (machine.address[0], machine.server))
    head = bytes.fromhex("01010600 40e20100 ffff0000") + client + bytes(4) + server + bytes(4)
    question = (
        head + chaddr + bytes(10 + 64 + 128) + bytes.fromhex("63825363 5d020007 6111 00") + guid
        + bytes.fromhex("350103 3c09") + b"PXEClient" + bytes.fromhex("3709 3c8081828384858687 fa0f")
        + WDSMGFW + b"\xff"
    )  # fmt: skip
    answer = machine.ask("boot", question)
    assert answer.reply is not None
    variables, store = path(answer, VARIABLES).encode(), path(answer, STORE).encode() + b"\0"
    sname, file = machine.server.encode(), windows.program("bootmgfw.efi").encode()
    expected = (
        bytes.fromhex("02010600 40e20100 0000 0000") + client + bytes(4) + server + bytes(4) + chaddr + bytes(10)
        + sname.ljust(64, b"\0") + file.ljust(128, b"\0") + bytes.fromhex("63825363 350105 3604") + server
        + bytes.fromhex("6111 00") + guid + bytes.fromhex("3c09") + b"PXEClient"
        + struct.pack("BBBB", VARIABLES, len(variables) + 2, 1, len(variables)) + variables
        + struct.pack("BB", STORE, len(store)) + store + b"\xff"
    )  # fmt: skip
    assert answer.reply.original.rstrip(b"\0") == expected


def test_a_machine_that_waits_for_approval_polls_and_boots_once_it_is_approved(
    windows: Windows, setting: Any
) -> None:
    setting(pending_machines="poll", pending_poll_seconds="7", pending_poll_count="30")
    first = windows.machine()
    deployed = first.discover().event["deployment"]
    late = windows.machine(None)
    name = late.discover().event["device"]
    rows = json.loads(windows.home.run("deployment", "list", "--json"))
    collection = next(row["collection"] for row in rows if row["id"] == deployed)
    windows.home.run("collection", "add", collection, name)
    eventually(lambda: late.discover().event["action"] == "pending", SOON, "the wait")
    answer = late.boot()
    assert (answer.event["action"], answer.file) == ("pending", windows.program("wdsmgfw.efi"))
    assert not {STORE, VARIABLES, LOADER} & said(answer).keys()
    polls = loader(late)
    assert polls.file == ""
    told = said(polls)[LOADER]
    number = struct.unpack("!I", told[5:9])[0]
    text = b"Waiting for approval\0"
    assert told == (
        bytes.fromhex("020101 0504") + struct.pack("!I", number) + bytes.fromhex("0302 0007 0402 001e 06")
        + bytes([len(text)]) + text + bytes.fromhex("0e0100 ff")
    )  # fmt: skip
    windows.home.run("deployment", "approve", deployed, "--yes")
    again = bytes.fromhex("0504") + struct.pack("!I", number) + WDSMGFW
    eventually(lambda: loader(late, again).file, SOON, "the approval")
    last = loader(late, again)
    assert last.file == windows.program("bootmgfw.efi")
    assert said(last)[LOADER] == bytes.fromhex("0b0102 020101 0e0101 ff")


def test_who_gets_nothing_gets_no_answer_and_the_reason(windows: Windows) -> None:
    assert windows.machine(None).boot().codes[-1] == "no_deployment"
    for architecture in (UEFI_ARM64, UEFI_X86):
        machine = windows.machine(None, architecture=architecture)
        windows.home.deploy(windows.image, [machine.discover().event["device"]])
        eventually(lambda: machine.discover().codes[-1] == "no_boot_image", SOON, "the deployment")  # noqa: B023
        assert machine.boot().reply is None
    excluded = windows.machine()
    listed = windows.home.folder / "excluded.txt"
    listed.write_text(excluded.mac + "\n")
    windows.home.run("dp", "set", "--mac-ignore-list-file", str(listed))
    eventually(lambda: excluded.discover().codes[-1] == "excluded", SOON, "the list")
    assert excluded.boot().reply is None
    assert windows.machine(None, architecture=BIOS).boot().file == "SMSBoot/abort/abortpxe.com"


def test_an_image_that_lacks_the_program_or_is_not_distributed_is_refused_with_its_name(
    windows: Windows, tmp_path: Path, setting: Any
) -> None:
    lacking = wims.make(tmp_path / "lacking.wim", wdsmgfw=False, bios=False)
    image = windows.home.run("boot-image", "add", str(lacking.path), "--name", "lacking", "--quiet")
    whole, windows.image = windows.image, image
    try:
        machine = windows.machine("available")
        assert machine.boot().codes[-1] == "boot_image_not_distributed"
        windows.home.run("content", "distribute", image)
        eventually(lambda: machine.discover().codes[-1] == "no_windows_program", SOON, "the files")
        assert "wdsmgfw.efi" in machine.boot().event["text"]
        bios = windows.machine(architecture=BIOS).boot()
        assert "lack pxeboot.n12" in bios.event["text"]
        assert "claimed" not in bios.codes
        setting(windows_uefi_prompt="none")
        assert machine.boot().file == f"SMSBoot\\{image}\\x64\\bootmgfw.efi"
        windows.set(windows_uefi_prompt="refuse")
        eventually(lambda: machine.discover().codes[-1] == "no_prompt", SOON, "the setting")
    finally:
        windows.image = whole


def test_variables_arrive_by_precedence_and_a_secret_one_never(windows: Windows) -> None:
    machine = windows.machine(None)
    name = machine.discover().event["device"]
    windows.home.run("device", "variable", "set", name, "Role", "web = server; \\\\host\\share")
    windows.home.secret("device", name, "Password", SECRET)
    windows.home.run("device", "variable", "set", name, "RamDiskTFTPWindowSize", "8")
    deployed = windows.home.deploy(windows.image, [name])
    windows.home.run("collection", "variable", "set", deployed.collection, "Role", "other")
    windows.home.secret("collection", deployed.collection, "Hidden", SECRET)
    eventually(lambda: machine.discover().event["deployment"], SOON, "the deployment")
    answer = machine.boot()
    assert answer.reply is not None
    names = (
        path(answer, STORE),
        path(answer, VARIABLES),
        "session.env",
        "\\Boot\\BCD",
        "EFI/Microsoft/Boot/BCD",
    )
    fetched = {name: windows.fetch(machine, name) for name in names}
    variables = fetched[path(answer, VARIABLES)]
    assert b"\nRole=web = server; \\\\host\\share\n" in variables
    assert b"\nPXEFAST_TOKEN=" in variables
    assert fetched["session.env"] == variables
    assert fetched["\\Boot\\BCD"] == fetched["EFI/Microsoft/Boot/BCD"] == fetched[path(answer, STORE)]
    for content in (answer.reply.original, *fetched.values()):
        assert SECRET.encode() not in content
        assert SECRET.encode("utf-16-le") not in content
    assert b"Password" not in variables
    about = answer.event["windows"]
    assert (about["block_size"], about["window_size"]) == (4096, 8)
    sizes = next(reason for reason in answer.event["reasons"] if reason["code"] == "ramdisk_sizes")
    assert "8 a window (variable of the device)" in sizes["text"]


def test_a_sessions_files_are_its_machines_alone(windows: Windows) -> None:
    machine = windows.machine()
    answer = machine.request()
    for name in (path(answer, STORE), path(answer, VARIABLES), "session.env"):
        assert windows.refusal("127.0.9.9", name) == 1
        assert windows.fetch(machine, name)
    other = windows.machine().request()
    assert windows.refusal(machine.address[0], path(other, STORE)) == 1


def test_who_asks_from_the_address_of_a_boot_under_way_does_not_end_its_session(windows: Windows) -> None:
    machine, liar = windows.machine(), windows.machine(None)
    answer = machine.request()
    aborted = windows.client(liar.mac, liar.guid, address=machine.address[0], architecture=BIOS).request()
    assert (aborted.reply, aborted.codes[-1]) == (None, "address_in_use")
    assert windows.fetch(machine, path(answer, STORE))
    assert windows.fetch(machine, "session.env")


def test_a_sessions_files_end_when_its_work_is_done(windows: Windows) -> None:
    machine = windows.machine()
    answer = machine.request()
    lines = windows.fetch(machine, "session.env").decode().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    session = Session(values["PXEFAST_SESSION"], values["PXEFAST_TOKEN"])
    assert report(windows, session, "started").status == 200
    assert windows.fetch(machine, path(answer, VARIABLES))
    assert report(windows, session, "done").status == 200
    assert windows.refusal(machine.address[0], path(answer, VARIABLES)) == 1


@pytest.mark.parametrize("order", ["clear", "hold"])
def test_a_boot_that_a_person_ends_loses_its_files(windows: Windows, order: str) -> None:
    machine = windows.machine()
    answer = machine.request()
    deployment, device = answer.event["deployment"], answer.event["device"]
    said_so = ("--deployment", deployment, "--yes") if order == "clear" else (deployment,)
    windows.home.run("deployment", order, *said_so, "--device", device)

    def gone() -> bool:
        with Peer(windows.service.ports["tftp"], machine.address[0]) as peer:
            return peer.ask(path(answer, STORE)).opcode == ERROR

    eventually(gone, 2 * SOON, "the end")


def test_the_launch_file_ends_only_after_its_launch_was_recorded(windows: Windows) -> None:
    machine = windows.machine()
    machine.request()
    name = f"\\SMSImages\\{windows.image}\\boot.{windows.image}.wim"
    assert windows.fetch(machine, name) == windows.wim.path.read_bytes()
    event = windows.service.event("launch", lambda event: event["peer"].startswith(machine.address[0] + ":"))
    assert event["result"] == "launched"
    assert windows.refusal("127.0.9.8", "nothing") == 1


def test_boot_files_have_every_name_that_a_boot_manager_asks_for(windows: Windows) -> None:
    machine = windows.machine()
    machine.request()
    files = windows.wim.boot()
    names = {
        f"SMSBoot\\{windows.image}\\x64\\bootmgfw.efi": "boot/x64/bootmgfw.efi",
        "\\smsboot\\X64\\bootmgr.exe": "boot/x64/bootmgr.exe",
        "\\SMSBoot\\Fonts\\wgl4_boot.ttf": "boot/Fonts/wgl4_boot.ttf",
        "\\Boot\\Fonts\\wgl4_boot.ttf": "boot/Fonts/wgl4_boot.ttf",
        "/EFI/Microsoft/Boot/fonts/segoe_slboot.ttf": "boot/Fonts/segoe_slboot.ttf",
        "SMSBoot/boot.sdi": "boot/boot.sdi",
        "\\Boot\\boot.sdi": "boot/boot.sdi",
        f"\\SMSBoot\\{windows.image}\\boot.sdi": "boot/boot.sdi",
        "EFI\\Microsoft\\Boot\\boot.stl": "boot/x64/boot.stl",
    }
    for asked, kept in names.items():
        assert windows.fetch(machine, asked) == files[kept], asked
    stranger = windows.client("02:00:00:00:ff:01", str(uuid.uuid4()), address="127.0.9.7")
    assert windows.fetch(stranger, "SMSBoot/x64/bootmgfw.efi") == files["boot/x64/bootmgfw.efi"]


def test_a_restart_in_the_middle_of_a_boot_lets_the_machine_start_again(
    tmp_path: Path,
) -> None:
    with Windows(tmp_path) as point:
        machine = point.machine()
        before = machine.request()
        assert point.fetch(machine, path(before, STORE))
        point.service.stop()
        point.again()
        started = point.stage(machine)
        assert point.refusal(machine.address[0], path(before, STORE)) == 1
        answer = started.boot()
        assert answer.file == point.program("bootmgfw.efi")
        assert path(answer, STORE) != path(before, STORE)
        assert point.fetch(started, path(answer, STORE))[:4] == b"regf"


def test_the_direct_style_says_everything_in_the_offer(tmp_path: Path) -> None:
    kinds = ("bios", "uefi_x86", "uefi_x64", "uefi_arm64", "ipxe")
    settings = {**LOOPBACK, "dhcp.style": dict.fromkeys(kinds, "direct")}
    with Windows(tmp_path, settings) as point:
        machine = point.machine()
        offer = machine.discover()
        assert offer.file is not None
        assert re.fullmatch(rf"SMSBoot\\{point.image}\\[0-9a-f]{{32}}\\x64\\bootmgfw\.efi", offer.file)
        assert point.fetch(machine, offer.file) == point.wim.boot()["boot/x64/bootmgfw.efi"]
        assert point.fetch(machine, path(offer, STORE))[:4] == b"regf"
        assert point.fetch(machine, "Boot/BCD")[:4] == b"regf"
        assert point.refusal("127.0.9.9", path(offer, VARIABLES)) == 1


def test_the_options_fit_beside_everything_that_the_least_answer_must_echo(windows: Windows) -> None:
    machine = windows.machine()
    crowd = ((57, (576).to_bytes(2, "big")), (61, b"\xff" + b"y" * 200), (82, b"\x01\xf0" + b"x" * 0xF0))
    packet = machine.packet(REQUEST, 0x55, extra=crowd, giaddr="127.0.0.1", ciaddr=machine.address[0])
    machine.socket.sendto(packet, (machine.server, windows.service.ports["boot"]))
    payload = machine.socket.recv(2048)
    assert len(payload) <= 548
    assert {STORE, VARIABLES} <= dict(options(payload)).keys()
