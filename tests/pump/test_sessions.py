"""What an answer shows to its machine and to nobody else: its image's folder, the session's files, Windows' options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pxefast import _native

from ..loopback.machine import options, pending
from ..loopback.peer import ERROR, Peer
from .native import Native, machine

IMAGE, OTHER = "PS100001", "PS100002"
SESSION = "0123456789abcdef0123456789abcdef"
BCD = "SMSTemp\\2026.11.22.21.00.00.0001.{0F0E0D0C-0B0A-0908-0706-050403020100}.boot.bcd"
VARIABLES = BCD.replace(".bcd", ".var")
FILES = {
    "own": b"the image's own",
    "everybody": b"everybody's",
    "other": b"the other's",
    "program": b"a program",
}
NAMES = {
    f"SMSImages/{IMAGE}/boot.efi": "own",
    f"SMSImages/{IMAGE}/SMSBoot/x64/bootmgfw.efi": "own",
    f"SMSBoot/{IMAGE}/x64/bootmgfw.efi": "program",
    f"SMSImages/{OTHER}/boot.efi": "other",
    "SMSBoot/x64/bootmgfw.efi": "everybody",
    "SMSBoot/abort/abortpxe.com": "everybody",
}
STORE, TEXT = b"a store" * 2000, b"KEY=1\n"


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    native_ = Native(tmp_path_factory.mktemp("native"), FILES, NAMES)
    yield native_
    native_.server.stop()


def session_files() -> list[tuple[str, _native.MemoryFile]]:
    store, variables = _native.MemoryFile(STORE), _native.MemoryFile(TEXT)
    return [
        (BCD, store), ("Boot/BCD", store), ("EFI/Microsoft/Boot/BCD", store), (VARIABLES, variables),
        ("session.env", variables),
    ]  # fmt: skip


def read(native: Native, address: str, name: str) -> bytes | None:
    """A file as this address sees it; None where it is told that there is none."""
    with Peer(native.door, address) as peer:
        packet = peer.ask(name)
        if packet.opcode == ERROR:
            assert packet.number == 1
            return None
        return peer.rest(packet, 512, 1)


def test_a_machines_session_files_are_its_own_under_every_spelling(native: Native) -> None:
    own, other = "127.0.0.31", "127.0.0.32"
    native.answer(own, f"SMSBoot\\{IMAGE}\\x64\\bootmgfw.efi", image=IMAGE, files=session_files())
    native.answer(other, f"SMSBoot\\{IMAGE}\\x64\\bootmgfw.efi", image=IMAGE)
    for name, content in (
        ("\\" + BCD, STORE), (BCD.lower(), STORE), (BCD.replace("\\", "/").upper(), STORE), ("\\Boot\\BCD", STORE),
        ("/boot/bcd", STORE), ("\\EFI\\Microsoft\\Boot\\BCD", STORE), (VARIABLES, TEXT), ("Session.ENV", TEXT),
    ):  # fmt: skip
        assert read(native, own, name) == content, name
        for stranger in (other, "127.0.0.33"):
            assert read(native, stranger, name) is None, name
    for full in (
        f"SMSImages/{IMAGE}/session.env",
        f"SMSImages/{IMAGE}/{SESSION}/session.env",
        f"{SESSION}/Boot/BCD",
    ):
        assert read(native, own, full) is None, full


def test_the_next_answer_ends_the_session_before_it_and_forget_ends_all(native: Native) -> None:
    own = "127.0.0.34"
    native.answer(own, image=IMAGE, files=session_files())
    assert read(native, own, BCD) == STORE
    native.answer(own, image=IMAGE, files=[("session.env", _native.MemoryFile(b""))])
    assert (read(native, own, BCD), read(native, own, "session.env")) == (None, b"")
    native.answer(own)
    assert (read(native, own, "session.env"), read(native, own, "boot.efi")) == (None, FILES["own"])
    native.answer(own, image=OTHER, files=session_files())
    assert (read(native, own, BCD), read(native, own, "boot.efi")) == (STORE, FILES["other"])
    native.server.forget(own)
    assert (read(native, own, BCD), read(native, own, "boot.efi")) == (None, None)


def test_a_machines_own_image_comes_before_everybodys(native: Native) -> None:
    own, stranger = "127.0.0.35", "127.0.0.36"
    native.answer(own, image=IMAGE.lower())
    for name in ("\\SMSBoot\\x64\\bootmgfw.efi", "smsboot/X64/BOOTMGFW.EFI"):
        assert read(native, own, name) == FILES["own"]
        assert read(native, stranger, name) == FILES["everybody"]
    assert read(native, own, f"SMSBoot\\{IMAGE}\\x64\\bootmgfw.efi") == FILES["program"]
    assert read(native, own, "SMSBoot\\abort\\abortpxe.com") == FILES["everybody"]
    assert read(native, own, "boot.efi") == FILES["own"], "and the root is still its image's"


def test_a_session_in_an_offer_is_the_machines_that_was_offered_it(native: Native) -> None:
    program = f"SMSBoot\\{IMAGE}\\{SESSION}\\x64\\bootmgfw.efi"
    offered, stranger = "127.0.0.37", "127.0.0.38"
    native.answer(offered, program, discover=True, image=IMAGE, files=session_files())
    assert read(native, stranger, "Boot/BCD") is None
    assert read(native, stranger, program) == FILES["program"], "a boot program is no secret"
    assert read(native, stranger, "\\Boot\\BCD") is None
    assert read(native, offered, "\\Boot\\BCD") is None, "it has not asked with the session yet"
    assert read(native, offered, program) == FILES["program"]
    assert read(native, offered, "\\Boot\\BCD") == STORE
    assert read(native, stranger, program) == FILES["program"]
    assert read(native, stranger, "\\Boot\\BCD") is None


def test_a_session_that_cannot_be_shown_is_refused_and_nothing_is_sent(native: Native) -> None:
    store = _native.MemoryFile(STORE)
    with machine("127.0.0.40") as asking:
        question = native.question(asking)
        for shown in (
            {"image": IMAGE, "files": [("../BCD", store)]},
            {"image": IMAGE, "files": [(f"{n}", store) for n in range(17)]},
            {"image": f"{IMAGE}/x"},
            {"image": ".."},
            {"image": ""},
            {"files": [("Boot/BCD", store)]},
        ):
            with pytest.raises(ValueError):
                native.server.answer(question, "", **shown)  # type: ignore[arg-type]
        assert not pending(asking.socket)
    with pytest.raises(ValueError, match="65536"):
        _native.MemoryFile(bytes(65537))
    assert len(_native.MemoryFile(bytes(65536))) == 65536


def answered(native: Native, question: _native.Request, socket: Any, given: list[tuple[int, bytes]]) -> bytes:
    """The packet that answers a question with these options."""
    assert native.server.answer(question, "SMSBoot\\x64\\bootmgfw.efi", options=given)
    (((payload, _)),) = pending(socket)
    return payload


LOADER_SAYS = bytes.fromhex("0c0100 0d020800 01020007 0e0100 ff")


def test_windows_options_stand_between_those_of_pxe_and_the_relays(native: Native) -> None:
    path = b"\\" + BCD.encode() + b"\0"
    variables = bytes([1, len(VARIABLES) + 1]) + b"\\" + VARIABLES.encode()
    with machine("127.0.0.41") as asking:
        question = native.question(asking, extra=((82, b"\1\4port"), (57, b"\x05\xc0")))
        codes = [(252, path), (250, LOADER_SAYS), (243, variables)]
        said = options(answered(native, question, asking.socket, codes))
    assert [code for code, _ in said] == [53, 54, 97, 60, 243, 250, 252, 82]
    assert dict(said)[252] == path
    assert dict(said)[250] == LOADER_SAYS
    assert dict(said)[243] == variables
    with machine("127.0.0.42") as asking:
        question = native.question(asking, discover=True)
        assert native.server.answer(question, "SMSBoot\\x64\\bootmgfw.efi", options=[(252, path)])
        ((offer, _),) = pending(asking.socket)
    assert [code for code, _ in options(offer)] == [53, 54, 97, 60, 43, 252]


def test_options_that_do_not_fit_or_are_not_windows_are_refused_and_nothing_is_sent(native: Native) -> None:
    with machine("127.0.0.43") as asking:
        question = native.question(asking, extra=((82, b"\1\4port"),))
        # What RFC 2131 lets every client take holds 287 bytes beside what no answer can lack.
        fits = [(243, b"x" * (287 - 2 - 257)), (252, b"y" * 255)]
        said = dict(options(answered(native, question, asking.socket, fits)))
        assert (said[243], said[252]) == (fits[0][1], fits[1][1])
        assert 82 not in said, "never in part"
        for bad in (
            [(243, fits[0][1] + b"x"), fits[1]], [(252, b"")], [(252, b"x" * 256)], [(66, b"x")], [(252, b"x")] * 2,
        ):  # fmt: skip
            with pytest.raises(ValueError, match="options"):
                native.server.answer(question, "", options=bad)
        assert not pending(asking.socket)


def test_a_windows_loader_is_known_by_what_it_says_of_itself(native: Native) -> None:
    def loader(*extra: tuple[int, bytes]) -> _native.Loader | None:
        with machine("127.0.0.44") as asking:
            question = native.question(asking, extra=extra)
            fields = question.fields().loader
            parsed = _native.parse_dhcp(question.packet).loader
        assert (fields is None) == (parsed is None)
        return fields

    def counted() -> int:
        return native.server.counters()["dhcp.malformed_loader"]

    first = loader((250, LOADER_SAYS))
    assert first is not None
    assert (first.architecture, first.version) == (7, 0x0800)
    assert (first.prompt_done, first.action_done, first.request_id) == (False, False, None)
    polls = loader((250, bytes.fromhex("050400000011 0e0101 ff")))
    assert polls is not None
    assert (polls.request_id, polls.action_done, polls.architecture) == (0x11, True, None)
    before = counted()
    assert loader() is None
    assert counted() == before
    for malformed in (b"\x01\x09\x00\x07\xff", b"\x01\x01\x07\xff", b"\x05\x02\x00\x11\xff"):
        assert loader((250, malformed)) is None
    assert counted() == before + 3


def test_a_machines_own_window_holds_for_it_alone_until_it_is_shown_something_else(native: Native) -> None:
    own, stranger = "127.0.0.46", "127.0.0.47"

    def window(address: str, asked: int = 16) -> str:
        with Peer(native.door, address) as peer:
            return dict(peer.ask(f"SMSImages/{IMAGE}/boot.efi", [("windowsize", asked)]).options)[
                "windowsize"
            ]

    native.answer(own, image=IMAGE, window_size=4)
    assert (window(own), window(own, 2), window(stranger)) == ("4", "2", "16")
    native.answer(own)
    assert window(own) == "4", "the end of a session makes no machine better"
    native.answer(own, image=IMAGE)
    assert window(own) == "16"
    with pytest.raises(ValueError, match="need its image"):
        native.answer(own, window_size=4)
