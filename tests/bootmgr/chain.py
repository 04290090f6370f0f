"""A machine from its power button to WinPE: firmware, first programs, boot manager (W-64 to W-73, windows-boot 1)."""

from __future__ import annotations

import http.client
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

from . import hive, pxe, tftp
from .pxe import APPROVAL, BIOS, NAMES, OPT_IN, Answer, Firmware, Loader, Question
from .tftp import Client, Done, Luck, RefusedError, Wish

# Before it has read its store the boot manager has sizes of its own (W-80, W-81).
BUILT_IN = Wish(1456, 4, variable=True)
FONTS = ("wgl4_boot.ttf", "segoe_slboot.ttf", "segmono_boot.ttf")
BOOT_FOLDER = "\\EFI\\Microsoft\\Boot\\"
POLICIES = [f"{BOOT_FOLDER}Policies\\SbcpFlightToken.p7b", f"{BOOT_FOLDER}SecureBootPolicy.p7b"]
POLICIES += [
    f"{BOOT_FOLDER}{name}SiPolicy.p7b"
    for name in ("", "Sku", "Win", "ATP", "", "Sku", "Win", "ATP", "Vbs", "Vbs")
]
Door = Literal["dhcp", "boot"]
End = Literal[
    "no offer", "no answer", "abort program", "no key", "abort asked", "not approved", "not found", "denied"
]


class EndedError(Exception):
    """The network boot is over, and no operating system began."""

    def __init__(self, how: End, what: str = "") -> None:
        super().__init__(f"{how} {what}".strip())
        self.how, self.what = how, what


class Line(Protocol):
    """The cable to a distribution point. None from `ask` is the certainty that there is no answer."""

    server: str
    tftp: int

    def port(self, door: Door, firmware: Firmware, address: str) -> socket.socket: ...

    def ask(self, door: Door, packet: bytes, sock: socket.socket) -> bytes | None: ...


class Asked(NamedTuple):
    """A file that was asked for; `how` it went."""

    name: str
    how: Literal["read", "size", "absent"]


@dataclass
class Started:
    """WinPE runs: how it came to that."""

    answer: Answer
    entry: hive.Entry
    bcd: bytes
    sdi: Done
    wim: Done


def base(name: str) -> str:
    """The last part of a path, with either slash, in lower case."""
    return name.replace("\\", "/").rpartition("/")[2].lower()


def beside(name: str, other: str) -> str:
    """Another file in the same folder, with the same slashes, from the root (W-72)."""
    cut = max(name.rfind("\\"), name.rfind("/")) + 1
    folder = name[:cut]
    return folder + other if folder[:1] in ("\\", "/") else "\\" + folder + other


@dataclass
class Machine:
    """One machine at one address.

    `expected`: the bytes that each file must have, by its name without folder, in lower case. `processor`: what
    wdsnbp.com finds in a BIOS machine, which is 64-bit today (W-63). `key`: whether somebody presses it when asked.
    `polled`: called where the machine would wait for approval, with how often it did.
    """

    line: Line
    firmware: Firmware
    mac: str
    guid: uuid.UUID
    address: str
    expected: Mapping[str, bytes]
    processor: int = pxe.X64
    key: bool = True
    asks_again_after_key: bool = False
    asks_port_4011_always: bool = False
    polled: Callable[[int], None] = lambda _: None
    luck: Luck = field(default_factory=Luck)
    stop_before_last_block: bool = False
    files: list[Asked] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)

    @property
    def client(self) -> Client:
        return Client((self.line.server, self.line.tftp), self.address)

    @property
    def hardware(self) -> bytes:
        return bytes.fromhex(self.mac.replace(":", ""))

    def boot(self) -> Started:
        """Switch it on. Raises EndedError where no WinPE comes of it."""
        self.files, self.answers, self.programs = [], [], []
        return self._run(self.ask_firmware())

    def ask_firmware(self) -> Answer:
        """The answer that names firmware's boot file, an offer of the direct style or an ACK. Raises EndedError."""
        with self.line.port("dhcp", self.firmware, self.address) as port:
            offer = self._ask("dhcp", pxe.discover(self.firmware, self.hardware, self.guid), port)
            if offer is None:
                raise EndedError("no offer")
            if offer.file:
                assert self.firmware.kind == "ipxe" or 43 in offer.options, "W-38, F-23"
                if not self.asks_port_4011_always:
                    return offer
        with self.line.port("boot", self.firmware, self.address) as port:
            question = pxe.request(self.firmware, self.hardware, self.guid, self.address, offer)
            answer = self._ask("boot", question, port)
        if answer is None:
            raise EndedError("no answer")
        assert answer.file, "PXE-E53: an ACK without boot file"
        return answer

    def _run(self, answer: Answer) -> Started:
        """The program that an answer names, as this firmware loads it, and what that does."""
        wish = {"uefi": tftp.EDK2, "bios": tftp.ROM, "ipxe": tftp.IPXE}[self.firmware.kind]
        if self.firmware.kind == "uefi":
            self._probe(answer.file, wish, tftp.USER_ABORTED)
        elif self.firmware.kind == "bios":
            self._probe(answer.file, Wish(None, None, variable=False))
        self._read(answer.file, wish)
        name = base(answer.file)
        self.programs.append(name)
        match name:
            case "abortpxe.com" | "abort.0" | "abort.ipxe":
                raise EndedError("abort program", answer.file)
            case "wdsnbp.com" | "wdsmgfw.efi":
                return self._next(self._loader(), name)
            case "pxeboot.com" if not self.key:
                raise EndedError("no key")
            case "pxeboot.com" | "pxeboot.n12":
                return self._bios(answer)
            case "bootmgfw.efi":
                return self._uefi(answer)
        raise AssertionError(f"{answer.file} is no program of Windows")

    def _next(self, answer: Answer, before: str) -> Started:
        """What wdsnbp.com or wdsmgfw.efi loads: its own way to read, no size probe."""
        assert base(answer.file) != before, f"{before} is told to load itself"
        self._read("\\" + answer.file.lstrip("\\/"), BUILT_IN if before == "wdsmgfw.efi" else tftp.ROM)
        name = base(answer.file)
        self.programs.append(name)
        match name:
            case "abortpxe.com" | "abort.0":
                raise EndedError("abort program", answer.file)
            case "pxeboot.com" if not self.key:
                raise EndedError("no key")
            case "pxeboot.com" | "pxeboot.n12":
                return self._bios(answer)
            case "bootmgfw.efi":
                return self._uefi(answer)
        raise AssertionError(f"{answer.file} is nothing for {before}")

    def _loader(self) -> Answer:
        """wdsnbp.com's and wdsmgfw.efi's talk on port 4011: approval, then the prompt (W-66 to W-70)."""
        loader = Loader(self.firmware.architecture or self.processor)
        polls = 0
        while True:
            question = pxe.loader_request(
                loader, self.firmware.architecture, self.hardware, self.guid, self.address, self.line.server
            )
            with self.line.port("boot", self.firmware, self.address) as port:
                answer = self._ask("boot", question, port)
            if answer is None:
                raise EndedError("no answer")
            said = answer.said
            if said is not None and said.next_action == APPROVAL and said.action_done == 0:
                assert None not in (said.interval, said.polls, said.request_id, said.message), said
                polls += 1
                if polls > (said.polls or 0):
                    raise EndedError("not approved", said.message or "")
                self.polled(polls)
                loader = loader._replace(request_id=said.request_id)
                continue
            if said is not None and said.next_action == 5:
                raise EndedError("abort asked")
            assert answer.file, "neither pending nor a boot file"
            if said is not None and said.prompt == OPT_IN and not loader.prompt_done:
                if not self.key:
                    raise EndedError("no key")
                if self.asks_again_after_key:
                    loader = loader._replace(prompt_done=1)
                    continue
            return answer

    def _bios(self, answer: Answer) -> Started:
        """bootmgr.exe beside pxeboot (W-72)."""
        self._read(beside(answer.file, "bootmgr.exe"), tftp.ROM)
        self.programs.append("bootmgr.exe")
        self._look("\\Boot\\Fonts\\wgl4_boot.ttf", BUILT_IN)
        name = answer.bcd or "\\Boot\\BCD"
        store = self._store(name, 1)
        entry = hive.follow(store)
        self._look("\\Boot\\Fonts\\wgl4_boot.ttf", BUILT_IN)
        self._absent("\\hiberfil.sys")
        wish = ramdisk_wish(entry)
        self._probe(entry.wim, wish)
        self._probe(entry.sdi, wish)
        sdi = self._read(entry.sdi, wish)
        assert entry.application in (None, "\\windows\\system32\\boot\\winload.exe"), entry.application
        return Started(answer, entry, store, sdi, self._wim(entry, wish))

    def _uefi(self, answer: Answer) -> Started:
        """bootmgfw.efi (W-73)."""
        name = answer.bcd
        if name is None:
            name = next(
                (
                    path
                    for path in (f"{BOOT_FOLDER}BCD", "\\Boot\\BCD")
                    if self._probe_or_none(path, BUILT_IN)
                ),
                None,
            )
            if name is None:
                raise EndedError("not found", "\\Boot\\BCD")
        store = self._store(name, 2)
        for policy in POLICIES:
            self._absent(policy)
        entry = hive.follow(store)
        fonts = entry.fonts or "\\Boot\\Fonts"
        for font in ("wgl4_boot.ttf", *FONTS):
            self._look(f"{fonts}\\{font}", BUILT_IN)
        self._look(f"{BOOT_FOLDER}Fonts\\wgl4_boot.ttf", BUILT_IN)
        self._look(beside(answer.file, "boot.stl"), BUILT_IN)
        self._look(f"{BOOT_FOLDER}boot.stl", BUILT_IN)
        self._absent(f"{BOOT_FOLDER}resources\\bootres.dll")
        wish = ramdisk_wish(entry)
        self._probe(entry.sdi, wish)
        sdi = self._read(entry.sdi, wish)
        self._probe(entry.wim, wish)
        assert entry.application in (None, "\\windows\\system32\\boot\\winload.efi"), entry.application
        return Started(answer, entry, store, sdi, self._wim(entry, wish))

    def _store(self, name: str, more: int) -> bytes:
        """The boot store, fetched again and again, and always the same."""
        size = self._probe(name, BUILT_IN)
        stores = {self._read(name, BUILT_IN).content for _ in range(1 + more)}
        assert len(stores) == 1
        (store,) = stores
        assert size == len(store)
        return store

    def _wim(self, entry: hive.Entry, wish: Wish) -> Done:
        expected = self.expected[base(entry.wim)]
        stop = None
        with self._open(entry.wim, wish) as transfer:
            if self.stop_before_last_block:
                stop = len(expected) // transfer.granted.block + 1
            try:
                done = transfer.read(self.luck, stop_before=stop)
            except RefusedError as refused:
                raise EndedError("denied", str(refused)) from None
        if stop is None:
            assert done.content == expected, entry.wim
        self.files.append(Asked(entry.wim, "read"))
        return done

    def variables(self, answer: Answer) -> dict[str, str]:
        """What WinPE reads minutes later: smstftp.exe, with no option at all (W-60, W-96)."""
        assert answer.variables is not None, "no option 243"
        text = self.client.fetch(answer.variables, tftp.PLAIN).content.decode()
        pairs = [line.partition("=") for line in text.splitlines()]
        assert all(equals for _, equals, _ in pairs), text
        return {key: value for key, _, value in pairs}

    def report(self, variables: Mapping[str, str], kind: str, token: str | None = None) -> int:
        """Say over HTTP how Windows PE fares; the status. `token` in place of the machine's own."""
        parts = urlsplit(variables["PXEFAST_REPORT_URL"])
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=tftp.PATIENCE, source_address=(self.address, 0)
        )
        try:
            headers = {"Authorization": f"Bearer {token or variables['PXEFAST_TOKEN']}"}
            connection.request("POST", f"{parts.path}/{kind}", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def _ask(self, door: Door, question: Question, port: socket.socket) -> Answer | None:
        packet = self.line.ask(door, question.packet(), port)
        if packet is None:
            return None
        answer = pxe.read(packet, question, self.line.server)
        self.answers.append(answer)
        return answer

    def _open(self, name: str, wish: Wish) -> tftp.Transfer:
        try:
            return self.client.open(name, wish)
        except RefusedError as refused:
            raise EndedError("not found" if refused.code == 1 else "denied", str(refused)) from None

    def _read(self, name: str, wish: Wish) -> Done:
        """A file that there must be, every byte as expected where that is known."""
        with self._open(name, wish) as transfer:
            done = transfer.read(self.luck)
        self.files.append(Asked(name, "read"))
        # Of the service's own abort programs the bytes are not known here.
        expected = None if "abort/" in name else self.expected.get(base(name))
        assert expected in (None, done.content), f"{name} is not what was published"
        return done

    def _look(self, name: str, wish: Wish) -> None:
        """A file that may be there."""
        try:
            self._read(name, wish)
        except EndedError as ended:
            assert ended.how == "not found", ended
            self.files.append(Asked(name, "absent"))

    def _absent(self, name: str) -> None:
        """A file that nobody has: ERROR 1, not silence."""
        assert self.client.probe(name, BUILT_IN) is None, name
        self.files.append(Asked(name, "absent"))

    def _probe(self, name: str, wish: Wish, why: tuple[int, bytes] = tftp.ABORTED) -> int:
        size = self._probe_or_none(name, wish, why)
        if size is None:
            raise EndedError("not found", name)
        return size

    def _probe_or_none(self, name: str, wish: Wish, why: tuple[int, bytes] = tftp.ABORTED) -> int | None:
        size = self.client.probe(name, wish, why)
        self.files.append(Asked(name, "absent" if size is None else "size"))
        return size


def ramdisk_wish(entry: hive.Entry) -> Wish:
    """How the image is asked for: as the store says (B-23), variable only if it says so (B-24)."""
    return replace(BUILT_IN, block=entry.block or 1456, window=entry.window or 1, variable=entry.variable)


def architecture_of(firmware: Firmware) -> str:
    """The name of the image's architecture that suits."""
    return NAMES[firmware.architecture] if firmware.architecture != BIOS else "x64"
