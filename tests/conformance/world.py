"""A site in a few words, for tests that take the page's sentences one by one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pxefast.decide import (
    BootImage,
    Decision,
    Deployment,
    Device,
    DistributionPoint,
    Exclusions,
    Mark,
    Policy,
    Request,
    Site,
    decide,
)

NOW = 1_800_000_000.0
MAC = "00:11:22:33:44:55"
GUID = "24d0f753-b2e2-4d9c-b07c-099c4fc1ef3c"
OTHER_MAC = "02:00:00:00:00:01"
OTHER_GUID = "8a9f841d-4d9f-5e53-a833-734a9fbf87b5"
# Option 93 of each client.
BIOS, UEFI_X86, UEFI_X64, UEFI_ARM64 = 0, 6, 7, 11
PROGRAMS = {"bios": "start.0", "uefi": "start.efi"}


def image(id_: str, architecture: Any = "x64", **changes: Any) -> BootImage:
    """A boot image that can be handed out."""
    return BootImage(
        id_, id_, architecture, PROGRAMS, **{"pxe_enabled": True, "distributed": True, **changes}
    )


def deployment(id_: str = "PS120001", image_id: str | None = "PS100001", **changes: Any) -> Deployment:
    """A required deployment to PXE."""
    values = {"purpose": "required", "audience": "media-pxe", "created_at": NOW - 60, **changes}
    return Deployment(id_, f"TS-{id_}", image_id, "PS100009", **values)


@dataclass
class World:
    """One device with its deployments, whose required ones are armed; everything can be changed before it is asked."""

    deployments: tuple[Deployment, ...] = (deployment(),)
    images: tuple[BootImage, ...] = (image("PS100001"),)
    unknown: tuple[Deployment, ...] = ()
    device: Device = field(default_factory=lambda: Device(1, "web01", (MAC,), GUID, "PS1"))
    dp: DistributionPoint = field(
        default_factory=lambda: DistributionPoint("PS1", enable_pxe=True, allow_pxe_response=True)
    )
    policy: Policy = field(default_factory=Policy)
    excluded: frozenset[str] = frozenset()
    site: dict[str, Any] = field(default_factory=dict)

    def marks(self) -> dict[str, dict[int, Mark]]:
        """Each required deployment is armed for the device and never was given."""
        return {one.id: {1: Mark(one.id, 1, "ARMED", NOW - 60)} for one in self.deployments}

    def ask(self, architecture: int = UEFI_X64, **changes: Any) -> Decision:
        """What the device, or the machine that `changes` makes of it, is told at its start."""
        asked = Request(MAC, GUID, architecture, True, False, "request", 0, 0, "eth0", None, NOW)
        device = replace(
            self.device, deployments=tuple(sorted(self.deployments, key=lambda d: d.id, reverse=True))
        )
        unknown = {
            architecture_: Device(
                2046820352 + number, f"{architecture_} Unknown Computer (PS1)", (), None, "PS1",
                deployments=self.unknown,
            )
            for number, architecture_ in enumerate(("x86", "x64", "arm64"))
        }  # fmt: skip
        site = Site(
            self.dp,
            dict.fromkeys(device.macs, device),
            {device.guid: device} if device.guid else {},
            unknown,
            {one.id: one for one in self.images},
            **{"marks": self.marks(), "policy": self.policy, **self.site},
        )
        return decide(replace(asked, **changes), site, Exclusions(self.excluded))

    def code(self, architecture: int = UEFI_X64, **changes: Any) -> str:
        """The code of the reason that ends the decision."""
        return self.ask(architecture, **changes).reasons[-1].code
