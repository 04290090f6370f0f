"""The boot programs that pxefast brings along: they end the network boot, so that the machine goes on (CM-87, CM-89).

For a BIOS a program of 16-bit code that says so and returns to the boot ROM with "failure", upon which the firmware
tries its next boot device; for iPXE a script.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ABORT_BIOS", "ABORT_IPXE", "FILES"]

ABORT_BIOS: Final = "SMSBoot/abort/abortpxe.com"
ABORT_IPXE: Final = "SMSBoot/abort/abort.ipxe"

_TEXT = b"\r\npxefast: nothing to boot from the network; going on to the next boot device\r\n\0"

# The ROM calls 0:7C00 (PXE 2.1, 4.4.5); the code runs wherever it is loaded.
_CODE = bytes.fromhex(
    "60"  # pusha
    "1e"  # push ds
    "0e"  # push cs
    "1f"  # pop ds
    "e80000"  # call to the next instruction, for its address
    "5e"  # pop si
    "83c61b"  # add si, from there to the text
    "fc"  # cld
    "ac"  # next: lodsb
    "84c0"  # test al, al
    "740b"  # jz done
    "56"  # push si
    "b40e"  # mov ah, 0Eh: teletype
    "bb0700"  # mov bx, 7: page 0, light grey
    "cd10"  # int 10h
    "5e"  # pop si
    "ebf0"  # jmp next
    "1f"  # done: pop ds
    "61"  # popa
    "b80100"  # mov ax, 1: PXENV_EXIT_FAILURE
    "cb"  # retf
)

FILES: Final = {ABORT_BIOS: _CODE + _TEXT, ABORT_IPXE: b"#!ipxe\nexit\n"}
