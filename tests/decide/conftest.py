"""Every test of decide runs twice: against the plain source and against the modules of the native library."""

import importlib.util
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

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

    Everything a test does not say is the ordinary case: web01 gets a required boot that it was armed for.
    """

    MAC = "00:11:22:33:44:55"
    GUID = "11223344-5566-7788-99aa-bbccddeeff00"
    NOW = 1_700_000_000.0
    X64_UEFI = 7
    UNKNOWN: ClassVar = {"x86": 901, "x64": 902, "arm64": 903}

    def __init__(self, decide: ModuleType) -> None:
        self.decide = decide
        self.dp: dict[str, Any] = {"site": "PS1", "enable_pxe": True, "allow_pxe_response": True}
        self.policy: dict[str, Any] = {}
        self.devices = [self.device()]
        self.images = [self.image("PS100001")]
        # Device id -> what reaches it.
        self.deployments: dict[int, list[Any]] = {1: [self.deployment("PS120001")]}
        # Architecture -> what reaches its unknown computer object.
        self.unknown: dict[str, tuple[Any, ...]] = {}
        self.session_seconds = 900.0
        self.hardware: dict[str, int] = {}
        # (device id, deployment id) -> mark; the rest is armed, unless `armed` is False.
        self.marks: dict[tuple[int, str], Any] = {}
        self.armed = True
        self.exclusions = decide.Exclusions()
        self.duplicate_macs: frozenset[str] = frozenset()
        self.duplicate_guids: frozenset[str] = frozenset()
        self.own: frozenset[str] = frozenset()
        self.placeholders: frozenset[str] = frozenset()
        # Device id -> MAC -> when its GUID was last seen with it.
        self.seen: dict[int, dict[str, float]] = {}

    def device(
        self,
        number: int = 1,
        name: str = "web01",
        macs: Any = (MAC,),
        guid: Any = GUID,
        site: str = "PS1",
        **more: Any,
    ) -> Any:
        return self.decide.Device(number, name, tuple(macs), guid, site, **more)

    def image(
        self,
        name: str,
        architecture: str = "x64",
        pxe: bool = True,
        here: bool = True,
        launch: str | None = None,
        **programs: str,
    ) -> Any:
        files = programs or {"bios": "pxelinux.0", "uefi": "grubx64.efi"}
        return self.decide.BootImage(name, f"image {name}", architecture, files, pxe, here, launch)

    def deployment(
        self,
        name: str,
        image: str | None = "PS100001",
        purpose: str = "required",
        audience: str = "media-pxe",
        **more: Any,
    ) -> Any:
        more.setdefault("created_at", self.NOW - 3600)
        return self.decide.Deployment(name, "PS100009", image, "PS100008", purpose, audience, **more)

    def mark(self, name: str = "PS120001", state: str = "CLAIMED", **fields: Any) -> Any:
        values = {
            "generation": 1,
            "armed_at": self.NOW - 3600,
            "claimed_at": self.NOW - 60,
            "step": 1,
            "xid": 7,
            "session": "00" * 16,
            "stepped_at": self.NOW - 5,
            "launched_at": self.NOW - 30,
            **fields,
        }
        if "unreported" not in fields:
            returnable = values.get("returnable", False)
            sign = {
                "CLAIMED": 0.0 if returnable else values["claimed_at"],
                "LAUNCHED": values["launched_at"],
                "STARTED": math.inf,
                "HOLD": values["launched_at"],
                "WITHDRAWN": values["launched_at"],
            }
            values["unreported"] = sign.get(state, 0.0)
        return self.decide.Mark(name, state=state, **values)

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
        devices = [
            replace(device, deployments=tuple(self.deployments.get(device.id, ()))) for device in self.devices
        ]
        unknown = {
            architecture: self.decide.Device(
                self.UNKNOWN[architecture],
                f"{architecture} Unknown Computer (PS1)",
                (),
                None,
                "PS1",
                deployments=tuple(made),
            )
            for architecture, made in self.unknown.items()
        }
        marks: dict[str, dict[int, Any]] = {}
        if self.armed:
            for device in (*devices, *unknown.values()):
                for deployment in device.deployments:
                    if deployment.purpose == "required":
                        mark = self.decide.Mark(deployment.id, 1, "ARMED", self.NOW - 3600)
                        marks.setdefault(deployment.id, {})[device.id] = mark
        for (number, name), mark in self.marks.items():
            marks.setdefault(name, {})[number] = mark
        return self.decide.Site(
            dp=self.decide.DistributionPoint(**self.dp),
            devices_by_mac={mac: device for device in devices for mac in device.macs},
            devices_by_guid={device.guid: device for device in devices if device.guid},
            unknown=unknown,
            boot_images={image.id: image for image in self.images},
            marks=marks,
            live={
                number: mark
                for (number, _), mark in self.marks.items()
                if mark.state in ("CLAIMED", "LAUNCHED", "STARTED")
            },
            hardware=self.hardware,
            session_seconds=self.session_seconds,
            duplicate_macs=self.duplicate_macs,
            duplicate_guids=self.duplicate_guids,
            own=self.own,
            policy=self.decide.Policy(**self.policy),
            placeholders=self.placeholders,
            seen=self.seen,
            launches={number: mark for (number, _), mark in self.marks.items() if mark.unreported},
        )

    def ask(self, **fields: Any) -> Any:
        return self.decide.decide(self.request(**fields), self.site(), self.exclusions)


@pytest.fixture
def world(decide: ModuleType) -> World:
    return World(decide)
