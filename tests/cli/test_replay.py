"""`pxefast replay`: what the site decides on the captures of real firmware, and on captures that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import PcapWriter, rdpcap

CAPTURES = Path(__file__).parent.parent / "data" / "pcap"
SEEN = sorted(CAPTURES.glob("*.pcap"))

Run = Callable[..., Any]


def questions(file: Path) -> list[Packet]:
    """The packets of clients to the ports that are served."""
    return [
        packet
        for packet in rdpcap(str(file))
        if UDP in packet and packet[UDP].dport in (67, 4011) and bytes(packet[UDP].payload)[0] == 1
    ]


def address(file: Path) -> str:
    """The MAC address of the machine that a capture is of."""
    hexadecimal = bytes(questions(file)[0][UDP].payload)[28:34].hex()
    return ":".join(hexadecimal[at : at + 2] for at in range(0, 12, 2))


@pytest.fixture
def machine(done: Run, site: Path) -> Callable[[str], Path]:
    """Makes the machine of a capture a device with a required deployment; gives the capture's file."""

    def known(name: str) -> Path:
        file = CAPTURES / f"{name}.pcap"
        done("device", "import", "--name", "seen", "--mac", address(file))
        done("collection", "add", "rack 7", "seen")
        done(
            "deployment", "create", "--task-sequence", "PS100003", "--collection", "rack 7",
            "--purpose", "required", "--make-available-to", "media-pxe",
        )  # fmt: skip
        return file

    return known


def again(file: Path, to: Path, seconds: float) -> Path:
    """A capture and, so much later, the same once more: the machine starts a second time."""
    first, second = list(rdpcap(str(file))), list(rdpcap(str(file)))
    with PcapWriter(str(to)) as writer:
        for packet in first:
            writer.write(packet)
        for packet in second:
            packet.time += seconds
            if UDP in packet and packet[UDP].dport in (67, 4011):
                payload = bytearray(bytes(packet[UDP].payload))
                payload[4:8] = bytes(byte ^ 0x5A for byte in payload[4:8])
                packet[UDP].payload = Raw(bytes(payload))
            writer.write(packet)
    return to


@pytest.mark.parametrize("file", SEEN, ids=lambda file: file.stem)
def test_every_capture_of_real_firmware_is_replayed(run: Run, site: Path, file: Path) -> None:
    result = run("replay", str(file), "--json")
    assert result.code == 0, result.err
    assert "packets" in result.err
    for item in result.json:
        assert list(item)[:9] == [
            "time",
            "mac",
            "guid",
            "architecture",
            "door",
            "ipxe",
            "wds",
            "secs",
            "relay",
        ]
        assert item["action"] == "ignore"
        assert item["reasons"]


@pytest.mark.parametrize(
    ("name", "program"),
    [("uefi-x64", "grubx64.efi"), ("bios", "pxelinux.0"), ("uefi-x64-relay", "grubx64.efi")],
)
def test_a_boot_shows_in_order_with_the_times_of_the_capture(
    run: Run, machine: Any, name: str, program: str
) -> None:
    file = machine(name)
    items = run("replay", str(file), "--json").json
    assert [item["door"] for item in items] == ["discover", "request"]
    assert {item["boot_program"] for item in items} == {program}
    assert {item["device"] for item in items} == {"seen"}
    assert items[0]["time"] < items[1]["time"]
    assert items[0]["time"][:4] == "2026"


def test_a_second_start_within_a_capture_is_refused(run: Run, machine: Any, tmp_path: Path) -> None:
    file = again(machine("uefi-x64"), tmp_path / "twice.pcap", 60)
    items = run("replay", str(file), "--json").json
    assert [item["action"] for item in items] == ["boot", "boot", "ignore", "ignore"]
    assert items[2]["reasons"][-1]["code"] == "already_offered"


def test_a_packet_that_repeats_is_of_the_same_boot(run: Run, machine: Any, tmp_path: Path) -> None:
    packets = questions(machine("uefi-x64"))
    file = tmp_path / "repeated.pcap"
    with PcapWriter(str(file)) as writer:
        for packet in (packets[0], packets[-1], packets[-1]):
            writer.write(packet)
    assert [item["action"] for item in run("replay", str(file), "--json").json] == ["boot", "boot", "boot"]


def test_replaying_twice_says_the_same_and_writes_nothing(run: Run, machine: Any, home: Path) -> None:
    file = machine("uefi-x64")
    first = run("replay", str(file), "--json").out
    before = (home / "site.db").read_bytes()
    assert run("replay", str(file), "--json").out == first
    assert (home / "site.db").read_bytes() == before


def test_people_read_a_line_a_request_and_what_was_left_out(run: Run, machine: Any) -> None:
    result = run("replay", str(machine("uefi-x64")))
    lines = result.out.splitlines()
    assert len(lines) == 2
    assert "(seen)  discover: boots PS120002 with PS100001 (grubx64.efi)" in lines[0]
    assert "30 packets, 2 of them questions" in result.err
    assert "message_type" in result.err


def test_one_machine_can_be_shown_alone_and_the_others_still_count(
    run: Run, machine: Any, tmp_path: Path
) -> None:
    file = machine("uefi-x64")
    mac = address(file)
    assert len(run("replay", str(file), "--mac", mac.upper().replace(":", "-"), "--json").json) == 2
    assert run("replay", str(file), "--mac", "00:00:00:00:00:01", "--json").json == []
    assert run("replay", str(file), "--mac", "zz").code == 2


def test_http_boot_and_answers_of_servers_are_counted_not_decided(run: Run, site: Path) -> None:
    result = run("replay", str(CAPTURES / "uefi-x64-http.pcap"))
    assert "http_client" in result.err
    assert "reply_op" in run("replay", str(CAPTURES / "uefi-x64-relay-server.pcap")).err


def test_a_request_that_came_by_a_relay_says_so(run: Run, site: Path) -> None:
    items = run("replay", str(CAPTURES / "uefi-x64-relay-server.pcap"), "--json").json
    assert any(item["relay"] for item in items)


def test_an_interface_can_be_named(run: Run, done: Run, machine: Any) -> None:
    file = str(machine("uefi-x64"))
    done("dp", "set", "--interface", "lo")
    assert {item["action"] for item in run("replay", file, "--json").json} == {"boot"}
    items = run("replay", file, "--interface", "eth9", "--json").json
    assert {item["reasons"][-1]["code"] for item in items} == {"interface_not_bound"}


def test_packets_that_are_no_dhcp_are_counted_by_what_is_wrong(run: Run, site: Path, tmp_path: Path) -> None:
    file = tmp_path / "odd.pcap"
    frame = Ether(dst="ff:ff:ff:ff:ff:ff") / IP(src="10.0.0.1", dst="10.0.0.2")
    bootp = BOOTP(op=1, chaddr=b"\0\x11\x22\x33\x44\x55") / DHCP(
        options=[("message-type", "discover"), "end"]
    )
    with PcapWriter(str(file)) as writer:
        writer.write(frame / UDP(sport=68, dport=67) / Raw(b"hello"))
        writer.write(frame / UDP(sport=68, dport=67) / bootp)
    result = run("replay", str(file), "--json")
    assert result.json == []
    assert "2 packets, 0 of them questions" in result.err
    assert "1 not_pxe" in result.err


def test_a_damaged_capture_is_read_up_to_the_damage(run: Run, machine: Any, tmp_path: Path) -> None:
    file = machine("uefi-x64")
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(file.read_bytes()[:-7])
    result = run("replay", str(cut), "--json")
    assert result.code == 0
    assert len(result.json) == 2
    assert "is damaged at byte" in result.err


def test_a_file_that_is_no_capture_is_an_error(run: Run, site: Path, tmp_path: Path) -> None:
    file = tmp_path / "machines.csv"
    file.write_text("name,mac\n")
    result = run("replay", str(file), "--json")
    assert result.code == 1
    assert "machines.csv is no capture" in result.err
    assert run("replay", str(tmp_path / "gone.pcap")).code == 3
