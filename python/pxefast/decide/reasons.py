"""What a decision says: the codes, words and rules of its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from shlex import quote

from .records import Deployment, Device, Mark, Reason, State

NOT_PXE = Reason("not_pxe_client", "the vendor class (option 60) does not begin with PXEClient", "T24")
PXE_OFF = Reason(
    "pxe_disabled", "PXE is not enabled on this distribution point; run: pxefast dp set --enable-pxe", "CM-1"
)
RESPONSES_OFF = Reason(
    "responses_not_allowed",
    "this distribution point does not respond to PXE requests; run: pxefast dp set --allow-pxe-response",
    "CM-2",
)
UNKNOWN_OFF = Reason("unknown_computers_off", "unknown computer support is off", "CM-3")
NO_DEPLOYMENT = Reason("no_deployment", "no deployment is made available to PXE on this device", "CM-100")
FIRST = Reason("first_offer", "it was not offered to this device before", "CM-77")
RETURNED = Reason(
    "returned", "its last boot never got to the launch file, so nothing has run: it is offered again", "R-80"
)
NO_ARCHITECTURE = Reason("no_architecture", "the client does not say its architecture (option 93)", "W-32")
REQUIRED_NOT_FOR_UNKNOWN = Reason(
    "required_not_for_unknown",
    "required deployments are not given to unknown computers (setting required_for_unknown)",
    "R-51",
)
NO_IDENTITY = Reason(
    "no_identity",
    "neither its MAC nor its SMBIOS GUID tells this machine from others, so that nothing required can run once on it",
    "T17",
)
# Never a refusal here: no x86 image is needed (CM-108).
NO_X86_IMAGE = Reason(
    "no_x86_boot_image",
    "warning: Configuration Manager also wants an x86 boot image, PXE-enabled and on this distribution point, "
    "for x64 BIOS computers; there is none",
    "CM-107",
)

# What the ledger says too, in the same words.


def same_session(deployment_id: str) -> Reason:
    """Of a boot that goes on, or begins again before anything can have run."""
    return Reason(
        "same_session",
        f"a later stage, a repeat or a restart of the boot that got {deployment_id}; nothing has run yet",
        "F-42",
    )


def already_offered(deployment_id: str, state: State, since: float, device: str) -> Reason:
    """Of a second boot. `since`: Unix seconds of the claim or the launch, 0 where that is not known."""
    how = _GIVEN[state].format(f" {time_text(since)}" if since else "")
    return Reason(
        "already_offered",
        f"already offered: required deployment {deployment_id} runs once on a device; it was {how}; "
        f"to run it again: {clear_command(deployment_id, device)}",
        "CM-77",
    )


_GIVEN = {
    "CLAIMED": "handed out{}",
    "LAUNCHED": "launched{}",
    "STARTED": "launched{} and reported its start",
    "DONE": "launched{} and reported that it is done",
    "FAILED": "launched{} and reported that it failed",
}


def clear_command(deployment_id: str, device: str) -> str:
    """Return the whole command that clears a deployment on a device; `device` is "" where its name is not known."""
    return f"pxefast deployment clear --device {quote(device or 'NAME')} --deployment {deployment_id}"


def held(deployment_id: str, why: str, device: str) -> Reason:
    """Of a device on which a person must say how it goes on (G3, R-80)."""
    return Reason(
        "hold",
        f"required deployment {deployment_id} is on hold: {why or 'nobody said why'}; look at the machine, "
        f"then: {clear_command(deployment_id, device)}",
        "R-81b",
    )


def too_many_returns(deployment_id: str, returns: int, device: str) -> Reason:
    """Of a device that came back again and again without a launch: its image does not get through."""
    return held(deployment_id, f"it was handed out {returns + 1} times and never launched", device)


def waits_behind(behind: str, until: float, device: str, removed: bool) -> Reason:
    """Of a required deployment that must wait: the device was launched by `behind`, whose end was not reported (D34).

    Args:
        behind: id of the deployment that was launched.
        until: when the launch settles, in Unix seconds; infinite if time alone does not settle it.
        device: the device's name, "" if it is not known.
        removed: True if `behind` was removed since.
    """
    when = f"until {time_text(until)}" if until < float("inf") else "until it reports its end"
    what = "to end the wait" if removed else f"to run {behind} again"
    return Reason(
        "waits_behind",
        f"waits behind {behind} {when}: it was launched on this device and has not reported its end; "
        f"{what}: {clear_command(behind, device)}",
        "D34",
    )


def withdrawn(deployment_id: str) -> Reason:
    """Of a case whose deployment was removed (D32)."""
    text = f"required deployment {deployment_id} was removed; nothing of it is given to any device"
    return Reason("withdrawn", text, "D32")


def offered_again(history: str) -> Reason:
    """Of a device that a person cleared. `history`: what became of the generation before, "" if that is not known."""
    text = f"it was cleared for this device, so it is offered again: {history or 'its history is not known'}"
    return Reason("offered_again", text, "CM-79")


def other_session(deployment_id: str) -> Reason:
    """Of a device that is in the middle of another required deployment, which may run already (I2)."""
    return Reason(
        "other_session", f"a boot with required deployment {deployment_id} is under way on this device", "I2"
    )


def other_machine(live: Mark, mac: str, peer: str | None) -> Reason:
    """Return the reason for a request that comes from another machine than the live claim, as far as can be told.

    `mac` ("" for none) and `peer` are the MAC address and the IPv4 address of the request.
    """
    return Reason(
        "other_session",
        f"the boot with required deployment {live.deployment_id} is under way on this device, "
        f"from {_place(live.mac, live.peer)}; this request comes from {_place(mac, peer)} and gets nothing until that "
        "boot has ended",
        "D28",
    )


def _place(mac: str | None, peer: str | None) -> str:
    card = f"MAC {mac}" if mac else "a network card without a known MAC"
    return f"{card} at {peer}" if peer else card


def no_card(mac: str) -> Reason:
    """Return the reason for a MAC address that no network card has: zero, broadcast or multicast."""
    return Reason("unusable_mac", f"MAC {mac} is not that of a network card; it is left out", "D28")


def guid_alone_refused(name: str, guid: str) -> Reason:
    """Return the reason for a device whose GUID alone identifies it, where the site does not accept that."""
    text = (
        f"only SMBIOS GUID {guid} says that this is device {name}, and required deployments are not given by a GUID "
        f"alone (setting guid_alone); record its network card: pxefast device set {quote(name)} --add-mac MAC"
    )
    return Reason("guid_alone", text, "D29")


def guid_conflict(
    name: str, guid: str, recorded: tuple[str, ...], seen: Mapping[str, float]
) -> Reason | None:
    """Return the reason for a GUID that more than one machine may have, or None where nothing says so.

    Args:
        name: The device.
        guid: Its SMBIOS GUID.
        recorded: The MAC addresses of its record.
        seen: MAC addresses that the GUID was seen with, and when (Unix seconds).
    """
    foreign = sorted([(at, mac) for mac, at in seen.items() if mac not in recorded], reverse=True)
    if len(foreign) < (1 if recorded else 2):
        return None
    at, mac = foreign[0]
    if recorded:
        known = max([(seen.get(card, 0.0), card) for card in recorded])
        first = f"MAC {known[1]} ({f'last seen {time_text(known[0])}' if known[0] else 'recorded, not seen since'})"
        cards = f"--add-mac {mac}"
    else:
        first = f"MAC {foreign[1][1]} (last seen {time_text(foreign[1][0])})"
        cards = f"--add-mac {foreign[1][1]} --add-mac {mac}"
    text = (
        f"SMBIOS GUID {guid} alone does not tell which machine is device {name}: it belongs to {first} and was seen "
        f"with MAC {mac} (last seen {time_text(at)}); if both are network cards of {name}: "
        f"pxefast device set {quote(name)} {cards}; if they are two machines: "
        f"pxefast duplicate-id add --smbios-guid {guid}"
    )
    return Reason("guid_conflict", text, "D29")


def excluded(mac: str, name: str | None = None) -> Reason:
    """Return the reason for a MAC address on the exclusion list; `name`: the device that it is recorded for."""
    if name is None:
        return Reason("excluded", f"MAC {mac} is on the exclusion list", "CM-58")
    text = (
        f"MAC {mac} of device {name} is on the exclusion list, so that no network card of {name} is answered"
    )
    return Reason("excluded", text, "D31")


def pending_approval(deployment_id: str) -> Reason:
    """Of a device that came to the collection after its deployment was made (D5)."""
    return Reason(
        "pending_approval",
        f"required deployment {deployment_id} was made before this device came to its collection, and waits for "
        f"approval: pxefast deployment approve {deployment_id}",
        "R-58",
    )


def arming_expired(deployment_id: str, armed_at: float, hours: int) -> Reason:
    """Of a device that did not start in time. `armed_at`: Unix seconds."""
    return Reason(
        "arming_expired",
        f"required deployment {deployment_id} was armed {time_text(armed_at)}, for {hours} h; "
        f"to arm it again: pxefast deployment approve {deployment_id}",
        "R-63",
    )


def time_text(seconds: float) -> str:
    """`2026-11-22 18:40:05 UTC` of Unix seconds."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return f"at {seconds} s"


# A site has few deployments, images and programs, and says the same of them to every machine.


@lru_cache(4096)
def required_deployment(deployment_id: str, task_sequence_id: str) -> Reason:
    """Of the required deployment that boots."""
    text = f"required deployment {deployment_id} of task sequence {task_sequence_id}"
    return Reason("required_deployment", text, "CM-72")


@lru_cache(4096)
def available_deployment(deployment_id: str) -> Reason:
    """Of the available deployment that asks."""
    text = f"available deployment {deployment_id}: its boot program asks first"
    return Reason("available_deployment", text, "CM-74")


@lru_cache(4096)
def image_of_highest_id(deployment_id: str) -> Reason:
    """Of a boot image that is not the chosen deployment's."""
    text = f"the boot image is that of {deployment_id}, the highest id of all (setting boot_image_of)"
    return Reason("boot_image_of_highest_id", text, "CM-101")


@lru_cache(4096)
def image_chosen(image_id: str, architecture: str, client: str, exact: bool) -> Reason:
    """Which boot image, and by which rule."""
    if exact:
        text = f"boot image {image_id} ({architecture}) matches {client} exactly"
        return Reason("boot_image_exact", text, "CM-101")
    text = f"boot image {image_id} ({architecture}) is compatible with {client}"
    return Reason("boot_image_compatible", text, "CM-102")


@lru_cache(4096)
def boot_program_named(program: str, client: str) -> Reason:
    """Which boot program, and for what kind of client."""
    return Reason("boot_program", f"boot program {program} for {client}", "CM-90")


@lru_cache(16)
def polls(seconds: int, count: int) -> Reason:
    """Of a machine that asks again and again until its deployment is approved."""
    text = f"it asks again every {seconds} s until a person approves it, {count} times (setting pending_machines)"
    return Reason("polls", text, "W-69")


@lru_cache(16)
def unknown_computer(name: str) -> Reason:
    """Of a machine without a record that gets what the unknown computer object `name` gets."""
    return Reason("unknown_computer", f"it gets what is deployed to {name}", "CM-95")


def protected(device: Device) -> Reason:
    """Of a device that is never imaged."""
    command = f"pxefast device set {quote(device.name)} --no-protected"
    text = f"device {device.name} is protected and gets nothing; run: {command}"
    return Reason("protected", text, "D7")


def no_boot_image(deployments: list[Deployment], client: str) -> Reason:
    """Of deployments whose images all are of other architectures."""
    named = ", ".join(sorted({deployment.boot_image_id or "" for deployment in deployments}))
    return Reason("no_boot_image", f"none of the deployed boot images ({named}) runs on {client}", "CM-106")


def unsupported(architecture: int | None) -> Reason:
    """Of a client of no architecture that is served (option 93)."""
    if architecture is None:
        return NO_ARCHITECTURE
    text = f"architecture {architecture} (option 93) is not served"
    return Reason("unsupported_architecture", text, "W-32")
