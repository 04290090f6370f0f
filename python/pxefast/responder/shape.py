"""What surrounds a decision on the wire: who is not even asked about, and which program is named, where and how.

Pure, so that `explain` and `replay` say what the service would do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address

from pxefast.config import Dhcp
from pxefast.content.namespace import abort_file, boot_file
from pxefast.content.source import fold
from pxefast.decide import Decision, Exclusions, Reason, Request, Site, decide

__all__ = [
    "LONGEST_BOOT_FILE",
    "evaluate",
    "finished",
    "launch_name",
    "named",
    "names_program",
    "refused",
    "relay_refused",
]

# The header's `file` field less its NUL (W-1).
LONGEST_BOOT_FILE = 127
_ANY_SESSION = "0" * 32


def evaluate(
    request: Request,
    site: Site,
    exclusions: Exclusions,
    problem: Reason | None,
    dhcp: Dhcp,
    gated: Mapping[str, str],
) -> Decision:
    """Return the decision on a request: the service's, and that of every command that says what the service would do.

    Args:
        request: What the machine asks.
        site: The snapshot that the service decides from.
        exclusions: The exclusion list, and why required deployments are off, if they are.
        problem: Why nothing at all is handed out now; None where that is not so.
        dhcp: The settings of the section `dhcp`.
        gated: The full names of the launch files that are served, by their folded form.
    """
    distrusted = relay_refused(request, dhcp)
    if distrusted is not None:
        return distrusted
    if problem is not None:
        return Decision("ignore", (problem,))
    return finished(decide(request, site, exclusions), request, dhcp, gated)


def relay_refused(request: Request, dhcp: Dhcp) -> Decision | None:
    """The decision about a question whose relay is not believed (D16)."""
    relay = request.giaddr
    if relay is None or any(network.prefixlen == 0 for network in dhcp.relays):
        return None
    if any(IPv4Address(relay) in network for network in dhcp.relays):
        return None
    text = f"relay {relay} is not in [dhcp] relays of pxefast.toml"
    return Decision("ignore", (Reason("relay_not_listed", text, "D16"),))


def finished(decision: Decision, request: Request, dhcp: Dhcp, gated: Mapping[str, str]) -> Decision:
    """A decision with the boot program that is pxefast's own, refused where its program cannot be handed out.

    `gated` holds the full names of the launch files that are served, by their folded form.
    """
    if decision.action == "abort":
        file = abort_file(decision.firmware, request.ipxe)
        if file is not None:
            return replace(decision, boot_program=file)
        text = "there is no program that ends a UEFI client's network boot; it gets no answer and goes on by itself"
        return refused(decision, Reason("no_abort_program", text, "CM-89"))
    if decision.claim and decision.launch_file is not None and launch_name(decision, gated) is None:
        text = (
            f"launch file {decision.launch_file} is not among the published files of boot image "
            f"{decision.boot_image}; run: pxefast content distribute {decision.boot_image}"
        )
        return refused(decision, Reason("launch_file_not_served", text, "I3"))
    direct = request.door == "discover" and names_program(request, decision, dhcp)
    longest = named(decision, _ANY_SESSION if direct else None)
    if len(longest.encode()) > LONGEST_BOOT_FILE:
        text = f"boot file {longest} is longer than the {LONGEST_BOOT_FILE} bytes that a client reads"
        return refused(decision, Reason("boot_file_too_long", text, "W-1"))
    return decision


def launch_name(decision: Decision, gated: Mapping[str, str]) -> str | None:
    """The full name of the file whose last byte is the launch; None while that is not known."""
    if decision.boot_image is None or decision.launch_file is None:
        return None
    return gated.get(fold(boot_file(decision.boot_image, decision.launch_file)))


def names_program(request: Request, decision: Decision, dhcp: Dhcp) -> bool:
    """Microsoft's shape names the boot program on port 4011 only; the direct style also in the offer (W-40, W-41)."""
    if request.door == "request":
        return True
    kind = "ipxe" if request.ipxe else "bios"
    if not request.ipxe and decision.firmware == "uefi":
        kind = f"uefi_{decision.architecture}"
    return bool(getattr(dhcp.style, kind) == "direct")


def named(decision: Decision, session: str | None) -> str:
    """The full name of a decision's boot program, "" where it has none."""
    if decision.boot_program is None:
        return ""
    if decision.boot_image is None:
        return decision.boot_program
    return boot_file(
        decision.boot_image, decision.boot_program, session, windows=decision.kind == "windows-pe"
    )


def refused(decision: Decision, reason: Reason) -> Decision:
    """The same decision, ended by one more reason."""
    return replace(
        decision,
        action="ignore",
        boot_program=None,
        claim=False,
        reasons=(*decision.reasons, reason),
        because=reason,
    )
