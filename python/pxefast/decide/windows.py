"""Which of Microsoft's boot programs a machine gets from a boot image of kind windows-pe (CM-86 to CM-90, W-71).

BIOS: pxeboot.n12 starts at once, pxeboot.com asks for F12, wdsnbp.com comes before either where that is set. UEFI:
bootmgfw.efi starts at once, wdsmgfw.efi comes before it and asks a person where somebody must. The two loaders ask here
again, with option 250, and are then told what goes on.
"""

from __future__ import annotations

from .bootimage import Platform
from .records import BootImage, Policy, Reason, Request

# Role -> Microsoft's name of the program.
ROLES: dict[str, str] = {
    "bios": "pxeboot.n12",
    "bios_prompt": "pxeboot.com",
    "bios_loader": "wdsnbp.com",
    "uefi": "bootmgfw.efi",
    "uefi_loader": "wdsmgfw.efi",
}

_SAYS: dict[str, Reason] = {
    "bios": Reason("windows_chain", "pxeboot.n12 starts Windows PE without asking", "CM-87"),
    "bios_prompt": Reason("windows_chain", "pxeboot.com starts Windows PE if a person presses F12", "CM-87"),
    "bios_loader": Reason(
        "windows_chain", "wdsnbp.com comes first and asks here again (setting windows_bios_chain)", "CM-86"
    ),
    "uefi": Reason("windows_chain", "bootmgfw.efi starts Windows PE without asking", "CM-88"),
    "uefi_loader": Reason(
        "windows_chain", "wdsmgfw.efi comes first and asks here again (setting windows_uefi_chain)", "CM-88"
    ),
}
_ASKS_SOON = Reason(
    "windows_chain",
    "wdsmgfw.efi comes first, asks here again, and then asks a person to press a key",
    "CM-88",
)
_ASKS_NOW = Reason(
    "windows_chain", "wdsmgfw.efi asks a person to press a key, and then starts bootmgfw.efi", "CM-88"
)
_UNASKED = Reason(
    "windows_chain",
    "bootmgfw.efi starts Windows PE and nobody is asked (setting windows_uefi_prompt)",
    "CM-74",
)
NOBODY_ASKS = Reason(
    "no_prompt",
    "available deployments do not boot UEFI machines, for nothing would ask a person first (setting "
    "windows_uefi_prompt)",
    "CM-74",
)


def program(
    image: BootImage, platform: Platform, request: Request, asks: bool, policy: Policy
) -> tuple[str | None, Reason]:
    """The boot program with what it does, or None and why there is none. `asks`: a person must say yes first (CM-74).

    The file is one below SMSBoot/<image>. iPXE gets what the firmware gets: none of these is iPXE, so that nothing
    loads itself (W-49).
    """
    says: Reason | None = None
    if platform.firmware == "bios":
        role = "bios_prompt" if asks else "bios"
        if policy.windows_bios_chain == "wdsnbp" and not request.wds:
            role = "bios_loader"
    elif asks and policy.windows_uefi_prompt == "refuse":
        return None, NOBODY_ASKS
    else:
        by_loader = asks and policy.windows_uefi_prompt == "wdsmgfw"
        role = "uefi"
        if not request.wds and (by_loader or policy.windows_uefi_chain == "wdsmgfw"):
            role = "uefi_loader"
        if asks:
            says = (_ASKS_NOW if request.wds else _ASKS_SOON) if by_loader else None
            if not by_loader and role == "uefi":
                says = _UNASKED
    file = image.programs.get(role)
    if file is None:
        return None, _lacks(image, role, asks)
    return file, _SAYS[role] if says is None else says


def loader(image: BootImage, platform: Platform) -> tuple[str | None, Reason | None]:
    """The program that asks here again until a person has decided (W-69), or None and why there is none."""
    role = f"{platform.firmware}_loader"
    file = image.programs.get(role)
    return (file, None) if file is not None else (None, _lacks(image, role, False))


def _lacks(image: BootImage, role: str, asks: bool) -> Reason:
    text = f"the boot files of image {image.id} lack {ROLES[role]}; see: pxefast boot-image show {image.id}"
    if role == "uefi_loader" and asks:
        text += "; or let nobody be asked: pxefast setting set windows_uefi_prompt none"
    return Reason("no_windows_program", text, "CM-88")
