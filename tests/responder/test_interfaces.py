"""Network interfaces that are this host's own: of a made-up tree, and of a network namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pxefast.responder import interfaces

CARD, SECOND, GUEST = "00:1b:21:00:00:01", "00:1b:21:00:00:02", "52:54:00:00:00:01"


def interface(
    tree: Path, name: str, mac: str, *, device: bool = False, kind: str = "", type_: str = "1"
) -> Path:
    folder = tree / name
    folder.mkdir(parents=True)
    (folder / "address").write_text(f"{mac}\n")
    (folder / "type").write_text(f"{type_}\n")
    (folder / "uevent").write_text((f"DEVTYPE={kind}\n" if kind else "") + f"INTERFACE={name}\nIFINDEX=2\n")
    if device:
        (folder / "device").mkdir()
    return folder


def test_a_network_card_is_the_hosts_own(tmp_path: Path) -> None:
    interface(tmp_path, "eth0", CARD, device=True)
    interface(tmp_path, "wlan0", SECOND, device=True, kind="wlan")
    interface(tmp_path, "lo", "00:00:00:00:00:00", type_="772")
    interface(tmp_path, "ib0", "80:00:00:00:fe:80", device=True, type_="32")
    assert interfaces.own_macs(tmp_path) == {CARD, SECOND}


@pytest.mark.parametrize("kind", ["", "macvtap", "macvlan", "veth", "tun", "vxlan"])
def test_the_interface_of_a_guest_is_not_the_host(tmp_path: Path, kind: str) -> None:
    interface(tmp_path, "eth0", CARD, device=True)
    interface(tmp_path, "guest0", GUEST, kind=kind)
    assert interfaces.own_macs(tmp_path) == {CARD}


@pytest.mark.parametrize("kind", ["bond", "bridge", "vlan"])
def test_a_bond_bridge_or_vlan_of_the_host_is_its_own(tmp_path: Path, kind: str) -> None:
    interface(tmp_path, "eth0", CARD, device=True)
    interface(tmp_path, "up0", SECOND, kind=kind)
    assert interfaces.own_macs(tmp_path) == {CARD, SECOND}


def test_a_bridge_with_the_address_of_a_guests_port_is_not(tmp_path: Path) -> None:
    interface(tmp_path, "br0", GUEST, kind="bridge")
    interface(tmp_path, "vnet0", GUEST)
    assert interfaces.own_macs(tmp_path) == set()


def test_a_card_of_a_bond_is_known_by_the_address_that_its_firmware_boots_from(tmp_path: Path) -> None:
    card = interface(tmp_path, "eth1", CARD, device=True)
    (card / "bonding_slave").mkdir()
    (card / "bonding_slave" / "perm_hwaddr").write_text(f"{SECOND}\n")
    interface(tmp_path, "bond0", CARD, kind="bond")
    assert interfaces.own_macs(tmp_path) == {CARD, SECOND}


@pytest.mark.parametrize(
    ("product", "own"),
    [
        ("5C9E4B1C-0F6E-4B44-9A55-0D6A3E1B7C01", ["guid:5c9e4b1c-0f6e-4b44-9a55-0d6a3e1b7c01"]),
        ("03000200-0400-0500-0006-000700080009", []),
        ("00020003-0004-0005-0006-000700080009", []),
        ("AAAAAAAA-AAAA-AAAA-AAAA-AAAAAAAAAAAA", []),
        ("12345678-0f6e-4b44-9a55-0d6a3e1b7c01", []),
        ("Not Settable", []),
    ],
)
def test_a_placeholder_is_not_the_hosts_guid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, product: str, own: list[str]
) -> None:
    (tmp_path / "product_uuid").write_text(f"{product}\n")
    monkeypatch.setattr(interfaces, "_PRODUCT", tmp_path / "product_uuid")
    monkeypatch.setattr(interfaces, "_NETWORK", tmp_path / "net")
    added = frozenset({"12345678-0f6e-4b44-9a55-0d6a3e1b7c01"})
    assert interfaces.own_identities(added) == own


SCRIPT = """
set -e
mount -t sysfs sysfs /sys
ip link add veth0 type veth peer name veth1
for kind in macvlan macvtap vlan bridge bond; do
    case $kind in
        vlan) ip link add link veth0 name vlan0 type vlan id 5 ;;
        bridge|bond) ip link add ${kind}0 type $kind ;;
        *) ip link add link veth0 name ${kind}0 type $kind mode bridge ;;
    esac || echo "without $kind" >&2
done
ip link set address 02:00:00:00:0b:01 dev bridge0 || true
exec "$0" -c '
import json, pathlib
from pxefast.responder import interfaces
net = pathlib.Path("/sys/class/net")
macs = {each.name: (each / "address").read_text().strip() for each in net.iterdir() if (each / "address").exists()}
print(json.dumps([macs, sorted(interfaces.own_macs(net))]))'
"""


def test_the_kernels_own_guest_interfaces_are_not_the_host() -> None:
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("needs root and iproute2")
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", SCRIPT, sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        pytest.skip(f"no network namespace here: {done.stderr.strip()[-200:]}")
    macs, own = json.loads(done.stdout)
    for name in ("veth0", "veth1", "macvlan0", "macvtap0"):
        assert macs.get(name) not in own, name
    if "bridge0" in macs:
        assert macs["bridge0"] in own
