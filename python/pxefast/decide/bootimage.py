"""The client's architecture, and which boot image and boot program suit it (CM-101 to CM-109, W-32)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .records import BootImage, Deployment, Mark, Policy, Reason, Request


@dataclass(frozen=True)
class Platform:
    """What a client is: the image architecture it wants, those it can also run, and how that is said."""

    architecture: str
    firmware: str
    compatible: tuple[str, ...]
    label: str
    reason: Reason


@dataclass(frozen=True)
class Choice:
    """A deployment, its boot image, and how well that suits the client: 2 exactly, 1 as compatible."""

    deployment: Deployment
    image: BootImage
    fit: int


# Option 93 code -> architecture and firmware. Code 0 says BIOS and nothing of the processor: every machine imaged
# today is x64 (CM-105).
_CLIENTS = {
    0: ("x64", "bios"),
    6: ("x86", "uefi"),
    7: ("x64", "uefi"),
    9: ("x64", "uefi"),
    11: ("arm64", "uefi"),
}

# What a client can also run where there is no image of its own architecture, by both texts of the page (CM-105). UEFI
# is in neither: it only ever starts its own (CM-106).
_COMPATIBLE: dict[str, dict[tuple[str, str], tuple[str, ...]]] = {
    "older": {("x64", "bios"): ("x86",)},
    "current": {},
}


def _platform(architecture: str, firmware: str, compatible: tuple[str, ...]) -> Platform:
    label = f"{architecture} {firmware.upper()}"
    reason = Reason("architecture", f"the client is {label}", "CM-109")
    return Platform(architecture, firmware, compatible, label, reason)


# Policy -> option 93 code -> platform.
PLATFORMS: dict[str, dict[int, Platform]] = {
    text: {code: _platform(*client, table.get(client, ())) for code, client in _CLIENTS.items()}
    for text, table in _COMPATIBLE.items()
}

# A BIOS machine of which wdsnbp.com says that its processor has 32 bits, in any of its spellings (W-63).
_X86_BIOS = _platform("x86", "bios", ())
_32_BITS = (0, 6)


def platform_of(request: Request, policy: Policy) -> Platform | None:
    """What the client is; None for an architecture that is not served."""
    platform: Platform | None = PLATFORMS[policy.compatible_architectures].get(request.architecture or 0)
    if request.architecture is None or platform is None:
        return None
    if (
        request.loader_architecture in _32_BITS
        and platform.firmware == "bios"
        and policy.option_250_architecture == "trust"
    ):
        return _X86_BIOS
    return platform


def suits(image: BootImage, platform: Platform) -> int:
    """2 for the client's own architecture, 1 for a compatible one, 0 for one it must never get (CM-106)."""
    if image.architecture == platform.architecture:
        return 2
    return 1 if image.architecture in platform.compatible else 0


def choose(
    deployments: Sequence[Deployment], images: dict[str, BootImage], platform: Platform
) -> Choice | None:
    """The deployment whose boot image is used, with it.

    The exact architecture goes first, then the highest deployment id (CM-101, CM-102).
    """
    best: Choice | None = None
    deployment: Deployment
    for deployment in deployments:
        image: BootImage | None = images.get(deployment.boot_image_id or "")
        if image is None:
            continue
        fit = suits(image, platform)
        if fit == 0:
            continue
        if best is None or fit > best.fit or (fit == best.fit and deployment.id > best.deployment.id):
            best = Choice(deployment, image, fit)
    return best


def program(
    image: BootImage, platform: Platform, request: Request, mark: Mark | None
) -> tuple[str | None, Reason | None]:
    """The boot program of an image of kind files for this client, or why there is none.

    `mark` is that of the boot the request belongs to.

    iPXE gets the image's iPXE program, else the firmware's: many ROMs are iPXE. But where the firmware's
    program has already run in this boot, this iPXE is that program, and the same again would load itself for
    ever (W-49, F-42).
    """
    if request.wds:
        # The loader would start whatever program it came by once more, for ever.
        return None, Reason(
            "no_loader_program",
            f"wdsnbp.com or wdsmgfw.efi asks, and boot image {image.id} is not of kind windows-pe",
            "W-67",
        )
    if request.ipxe:
        own = image.programs.get("ipxe")
        if own is not None:
            return own, None
        if mark is not None and mark.step < 2:
            return None, Reason(
                "no_ipxe_program",
                f"boot image {image.id} has no boot program for iPXE, and its {platform.firmware} one has "
                "already run; add the image again with --boot-program ipxe=FILE",
                "W-49",
            )
    own = image.programs.get(platform.firmware)
    if own is not None:
        return own, None
    return None, Reason(
        "no_boot_program",
        f"boot image {image.id} has no boot program for {platform.firmware}; "
        f"add the image again with --boot-program {platform.firmware}=FILE",
        "CM-90",
    )


def launch_file(image: BootImage, request: Request, boot_program: str) -> str | None:
    """The file whose last byte is the launch; None where the machine does not yet get the last program (safety 5.1)."""
    if image.launch_file is not None:
        return image.launch_file
    return boot_program if request.ipxe or "ipxe" not in image.programs else None


def unusable(image: BootImage) -> Reason:
    """Why an image that is not PXE-enabled, or not distributed to here, may not be handed out (CM-111)."""
    if not image.pxe_enabled:
        return Reason(
            "boot_image_not_pxe_enabled",
            f"boot image {image.id} is not deployed from the PXE-enabled distribution point; "
            f"run: pxefast boot-image set {image.id} --pxe",
            "CM-111",
        )
    return Reason(
        "boot_image_not_distributed",
        f"boot image {image.id} is not served by this distribution point: never distributed here, or withdrawn as "
        f"damaged; run: pxefast content distribute {image.id}",
        "CM-111",
    )


def lacks_x86(images: dict[str, BootImage]) -> bool:
    """Whether no x86 boot image could be handed out here."""
    for image in images.values():
        if image.architecture == "x86" and image.pxe_enabled and image.distributed:
            return False
    return True
