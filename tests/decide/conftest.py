"""Every test of decide runs twice: against the plain source and against the modules of the native library."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / "python" / "pxefast" / "decide"


def _plain() -> ModuleType:
    """The source, imported under another name so that both live in one process."""
    name = "plain_decide"
    if name not in sys.modules:
        before = os.environ.get("PXEFAST_PURE")
        os.environ["PXEFAST_PURE"] = "1"
        try:
            spec = importlib.util.spec_from_file_location(
                name, SOURCE / "__init__.py", submodule_search_locations=[str(SOURCE)]
            )
            package = importlib.util.module_from_spec(spec)
            sys.modules[name] = package
            spec.loader.exec_module(package)
        finally:
            if before is None:
                del os.environ["PXEFAST_PURE"]
            else:
                os.environ["PXEFAST_PURE"] = before
    return sys.modules[name]


def _compiled() -> ModuleType:
    from pxefast import decide

    if not decide.compiled and os.environ.get("PXEFAST_PURE") != "1":
        pytest.fail(
            "decide is not compiled: build the native library, or set PXEFAST_PURE=1 to test the source alone"
        )
    return decide


@pytest.fixture(params=["plain", "compiled"])
def decide(request: pytest.FixtureRequest) -> ModuleType:
    return _plain() if request.param == "plain" else _compiled()


class World:
    """A small site to decide from, in one implementation's own records.

    Everything a test does not say is the ordinary case: web01 gets a required boot.
    """

    MAC = "00:11:22:33:44:55"
    GUID = "11223344-5566-7788-99aa-bbccddeeff00"
    NOW = 1_700_000_000.0
    X64_UEFI = 7

    def __init__(self, decide: ModuleType) -> None:
        self.decide = decide
        self.dp: dict[str, Any] = {"site": "PS1", "enable_pxe": True, "allow_pxe_response": True}
        self.devices = [self.device()]
        self.images = [self.image("PS100001")]
        self.deployments: dict[int, list[Any]] = {1: [self.deployment("PS120001")]}
        self.unknown: dict[str, tuple[Any, ...]] = {}
        self.marks: dict[tuple[int, str], Any] = {}
        self.exclusions = decide.Exclusions()
        self.duplicate_macs: frozenset[str] = frozenset()
        self.duplicate_guids: frozenset[str] = frozenset()

    def device(
        self, number: int = 1, name: str = "web01", macs: Any = (MAC,), guid: Any = GUID, site: str = "PS1"
    ) -> Any:
        return self.decide.Device(number, name, tuple(macs), guid, site)

    def image(
        self, name: str, architecture: str = "x64", pxe: bool = True, here: bool = True, **programs: str
    ) -> Any:
        files = programs or {"bios": "pxelinux.0", "uefi": "grubx64.efi"}
        return self.decide.BootImage(name, f"image {name}", architecture, files, pxe, here)

    def deployment(
        self, name: str, image: str = "PS100001", purpose: str = "required", audience: str = "media-pxe"
    ) -> Any:
        return self.decide.Deployment(name, "PS100009", image, "PS100008", purpose, audience)

    def mark(self, name: str = "PS120001", **fields: Any) -> Any:
        values = {
            "generation": 1,
            "claimed_at": self.NOW - 60,
            "step": 1,
            "xid": 7,
            "session": "00" * 16,
            "stepped_at": self.NOW - 5,
            **fields,
        }
        return self.decide.Mark(name, **values)

    def request(self, **fields: Any) -> Any:
        ordinary = {
            "mac": self.MAC,
            "guid": self.GUID,
            "architecture": self.X64_UEFI,
            "pxe_client": True,
            "ipxe": False,
            "door": "request",
            "secs": 0,
            "xid": 99,
            "interface": "eth0",
            "giaddr": None,
            "now": self.NOW,
        }
        return self.decide.Request(**{**ordinary, **fields})

    def site(self) -> Any:
        return self.decide.Site(
            dp=self.decide.DistributionPoint(**self.dp),
            devices_by_mac={mac: device for device in self.devices for mac in device.macs},
            devices_by_guid={device.guid: device for device in self.devices if device.guid},
            deployments_by_device={key: tuple(value) for key, value in self.deployments.items()},
            unknown_deployments=self.unknown,
            boot_images={image.id: image for image in self.images},
            marks=self.marks,
            session_seconds=900,
            duplicate_macs=self.duplicate_macs,
            duplicate_guids=self.duplicate_guids,
        )

    def ask(self, **fields: Any) -> Any:
        return self.decide.decide(self.request(**fields), self.site(), self.exclusions)


@pytest.fixture
def world(decide: ModuleType) -> World:
    return World(decide)


@pytest.fixture
def new_world() -> type[World]:
    """For tests that need many worlds, or worlds of two implementations."""
    return World
