"""The scripted machine itself: it speaks as the worked examples do, and reads what they say."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from . import hive, pxe
from .chain import base, beside

MAC = bytes.fromhex("020000112233")
GUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
CLIENT, SERVER = "192.0.2.50", "192.0.2.10"
CHADDR = MAC.ljust(16, b"\0")

E_1 = bytes.fromhex("""
    0101060000112233 00048000 00000000 00000000 00000000 00000000""") + CHADDR + bytes(192) + bytes.fromhex("""
    63825363 350101 3718 01020305060b0c0d0f101112 2b363c43 8081828384858687 390204ec
    6111003322110055447766 8899aabbccddeeff 5d020000 5e03010201
    3c20505845436c69656e743a417263683a30303030303a554e44493a303032303031 ff""")  # fmt: skip
E_5 = bytes.fromhex("010106005a5a000100000000c0000232") + bytes(12) + CHADDR + bytes(192) + bytes.fromhex("""
    63825363 350103 390205b8 371001032b363c4243618081828384858687 6111003322110055447766 8899aabbccddeeff
    5e03010310 5d020007 3c20505845436c69656e743a417263683a30303030373a554e44493a303033303136 ff""")  # fmt: skip
E_6_HEAD = bytes.fromhex("0101060040e20100ffff0000c000023200000000c000020a00000000") + CHADDR
E_6 = E_6_HEAD + bytes(192) + bytes.fromhex("""
    63825363 5d020007 61110033221100554477668899aabbccddeeff 350103 3c09505845436c69656e74 37093c8081828384858687
    fa0f0c01000d020800010200070e0100ff ff""")  # fmt: skip
E_6_ACK = (
    bytes.fromhex("0201060040e2010000000000c000023200000000c000020a00000000")
    + CHADDR
    + b"192.0.2.10".ljust(64, b"\0")
    + b"smsboot\\x64\\bootmgfw.efi".ljust(128, b"\0")
    + bytes.fromhex("""
    63825363 350105 3604c000020a 61110033221100554477668899aabbccddeeff 3c09505845436c69656e74
    f31c011a5c534d5354656d705c303030312e7b307d2e626f6f742e766172
    fc1b5c534d5354656d705c303030312e7b307d2e626f6f742e62636400 ff""")
)
PENDING = bytes.fromhex("0201010504000000070302000a0402001e060850656e64696e67000e0100ff")
# A path of 22 letters: 46 bytes with its NUL, 170 (0xaa) before which the GUID is not counted, 130 (0x82) of record.
RAMDISK = (
    bytes.fromhex("1fe5d9686cc129419ee52ab00a957daf 00000000 01000000 aa000000 00000000 03000000")
    + bytes(16)
    + bytes.fromhex("00000000 01000000 82000000 05000000 05000000 00000000 48000000 00000000")
    + bytes(56)
    + "\\Boot\\Sample\\Image.wim\0".encode("utf-16-le")
)


def test_a_rom_asks_as_in_the_worked_example() -> None:
    question = replace(pxe.discover(pxe.ROM, MAC, GUID), xid=bytes.fromhex("00112233"))
    assert question.packet() == E_1.ljust(548, b"\0")


def test_uefi_asks_on_port_4011_as_in_the_worked_example() -> None:
    offer = pxe.Answer(pxe.OFFER, SERVER, "", {}, b"")
    question = replace(pxe.request(pxe.UEFI_X64, MAC, GUID, CLIENT, offer), xid=bytes.fromhex("5a5a0001"))
    assert question.packet() == E_5


def wdsmgfw() -> pxe.Question:
    return pxe.loader_request(pxe.Loader(pxe.X64), pxe.X64, MAC, GUID, CLIENT, SERVER)


def test_wdsmgfw_asks_as_in_the_worked_example_and_reads_its_answer() -> None:
    assert wdsmgfw().packet() == E_6
    answer = pxe.read(E_6_ACK, wdsmgfw(), SERVER)
    assert answer.file == "smsboot\\x64\\bootmgfw.efi"
    assert answer.bcd == "\\SMSTemp\\0001.{0}.boot.bcd"
    assert answer.variables == "\\SMSTemp\\0001.{0}.boot.var"
    assert answer.said is None


def test_a_pending_answer_is_read_by_its_numbers() -> None:
    answer = pxe.Answer(pxe.ACK, SERVER, "", {250: PENDING}, b"")
    assert answer.said == pxe.Said(1, 10, 30, 7, "Pending", None, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        E_6_ACK.replace(b"0001.{0}.boot.bcd\0", b"0001.\0}.boot.bcd\0\0"),
        E_6_ACK.replace(b"\xf3\x1c\x01\x1a", b"\xf3\x1c\x02\x1a"),
        E_6_ACK.replace(b"\xf3\x1c\x01\x1a", b"\xf3\x1c\x01\x19"),
    ],
)
def test_a_path_with_a_nul_inside_and_a_record_that_is_no_path_are_noticed(wrong: bytes) -> None:
    assert wrong != E_6_ACK
    answer = pxe.read(wrong, wdsmgfw(), SERVER)
    with pytest.raises(AssertionError):
        print(answer.bcd, answer.variables)


@pytest.mark.parametrize("at", [0, 5, 16, 20, 30, 236, 242])
def test_an_answer_with_a_wrong_byte_is_noticed(at: int) -> None:
    wrong = bytearray(E_6_ACK)
    wrong[at] ^= 0x55
    with pytest.raises(AssertionError):
        pxe.read(bytes(wrong), wdsmgfw(), SERVER)


def test_a_ramdisk_device_is_followed_to_its_options_and_its_path() -> None:
    assert hive.ramdisk(RAMDISK) == ("{68d9e51f-c16c-4129-9ee5-2ab00a957daf}", "\\Boot\\Sample\\Image.wim")
    for at in range(16, 0x8C):
        wrong = bytearray(RAMDISK)
        wrong[at] ^= 1
        with pytest.raises(AssertionError):
            hive.ramdisk(bytes(wrong))


def test_a_programs_neighbours_are_asked_for_with_its_own_slashes() -> None:
    assert (
        beside("smsboot\\PS100001\\x64\\pxeboot.n12", "bootmgr.exe")
        == "\\smsboot\\PS100001\\x64\\bootmgr.exe"
    )
    assert beside("/a/b", "c") == "/a/c"
    assert base("SMSBoot\\x64/BootMgFw.EFI") == "bootmgfw.efi"
