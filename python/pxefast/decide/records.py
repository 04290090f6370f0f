"""What a decision is made from and what it is: plain, immutable values.

The only exceptions are `Site.marks`, `Site.live`, `Site.launches` and `Site.seen`, dictionaries that the service keeps
up to date between two snapshots. records.pxd names their fields once more, which makes them C structures where they are
compiled. Rules are named by their numbers (CM-n, T-n, R-n, W-n, F-n, D-n).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# What other packages take from here.
from .identifiers import normal_guid as normal_guid
from .identifiers import normal_mac as normal_mac
from .identifiers import swapped_guid as swapped_guid
from .identifiers import usable_mac as usable_mac

# "pending": a machine whose required deployment waits for a person's approval, and that asks again and again (W-69).
Action = Literal["boot", "prompt", "pending", "abort", "ignore"]
Architecture = Literal["x86", "x64", "arm64"]
Audience = Literal["clients", "clients-media-pxe", "media-pxe", "media-pxe-hidden"]
Door = Literal["discover", "request"]
Firmware = Literal["bios", "uefi"]
Kind = Literal["files", "windows-pe"]
Purpose = Literal["required", "available"]
# What a mark leaves to a request: a first boot, the same boot, a new one because the last was never launched, nothing
# because that happened too often, nothing because it waits for a person, nothing because it was given.
Standing = Literal["armed", "same", "return", "worn", "hold", "given"]
State = Literal["ARMED", "CLAIMED", "LAUNCHED", "STARTED", "DONE", "FAILED", "HOLD", "CLEARED", "WITHDRAWN"]

# A wall clock may be set back a little without being wrong; set back further, a claim lies in the
# future and nothing can be said about its age (T23).
CLOCK_SLACK_SECONDS = 60.0

# The last time that firmware repeats an unanswered packet is 28 s after the first (F-11).
REPEAT_SECONDS = 30.0


@dataclass(frozen=True)
class Reason:
    """Why a decision went on, or ended, at one step."""

    code: str
    text: str
    rule: str


@dataclass(frozen=True)
class Request:
    """One PXE client's DHCP request as the decision sees it.

    `mac` is canonical, "" for a hardware type without one; `guid` canonical or None (absent, malformed,
    all 0, all F); `secs` is the client's own count of seconds (CM-16); `now` is Unix seconds, from the
    caller; `interface_mac` is the canonical MAC of the server's own interface, "" where it has none (CM-11). `wds`:
    wdsnbp.com or wdsmgfw.efi asks, which say what they are in option 250; `loader_architecture` is what it says there
    of the processor, None where it does not (W-61, W-63). `peer` is the client's IPv4 address, None where the request
    does not show it, as in a DHCPDISCOVER.
    """

    mac: str
    guid: str | None
    architecture: int | None
    pxe_client: bool
    ipxe: bool
    door: Door
    secs: int
    xid: int
    interface: str
    giaddr: str | None
    now: float
    interface_mac: str = ""
    wds: bool = False
    loader_architecture: int | None = None
    peer: str | None = None

    @property
    def step(self) -> int:
        """How far this boot is: firmware 0 and 1, iPXE 2 and 3, Microsoft's loaders 4 and 5.

        The stages of one boot go forward (F-42).
        """
        return (4 if self.wds else 2 if self.ipxe else 0) + (1 if self.door == "request" else 0)


@dataclass(frozen=True)
class Deployment:
    """A task sequence offered to a collection; times are Unix seconds or None (CM-75).

    `boot_image_id` is None for a task sequence without a boot image, which PXE never sees (CM-71).
    """

    id: str
    task_sequence_id: str
    boot_image_id: str | None
    collection_id: str
    purpose: Purpose
    audience: Audience
    enabled: bool = True
    available_at: float | None = None
    expires_at: float | None = None
    created_at: float = 0.0


@dataclass(frozen=True)
class Device:
    """A machine the site knows, or a site's unknown computer object of one architecture (CM-92).

    `deployments` are those that reach it, highest id first; devices of the same collections share one tuple.
    `preferred` is its SMSTSPreferredAdvertID, or that of its collections (CM-70).
    """

    id: int
    name: str
    macs: tuple[str, ...]
    guid: str | None
    site: str
    protected: bool = False
    deployments: tuple[Deployment, ...] = ()
    preferred: str | None = None


@dataclass(frozen=True)
class BootImage:
    """What a machine can be booted with; `programs` maps bios, uefi and ipxe to a file of the image.

    Those of kind windows-pe are files below SMSBoot/<id>, by the roles that decide.windows names. `launch_file` is the
    latest file of the chain without which the work cannot begin; None where its operator named none (safety 5.1, G1).
    """

    id: str
    name: str
    architecture: Architecture
    programs: Mapping[str, str]
    pxe_enabled: bool
    distributed: bool
    launch_file: str | None = None
    kind: Kind = "files"


@dataclass(frozen=True)
class DistributionPoint:
    """The distribution point's settings.

    `interfaces` None means all; an empty tuple answers nobody (CM-12).
    """

    site: str
    enable_pxe: bool = False
    allow_pxe_response: bool = False
    interfaces: tuple[str, ...] | None = None
    unknown_computers: bool = False
    response_delay: int = 0
    listen_on_dhcp_port: bool = True
    mac_ignore_list_file: str | None = None
    ramdisk_tftp_block_size: int = 4096
    ramdisk_tftp_window_size: int = 1
    name: str = ""
    user_device_affinity: int = 0
    ramdisk_tftp_variable_window: bool = False


@dataclass(frozen=True)
class Policy:
    """The hierarchy's settings that decisions and answers depend on; `pxefast setting list` says what each does.

    Where the documents leave something open, the default is what our rules settle (CM-n `I` and `?`).
    """

    # T17, CM section 9: two records hit by one machine: "deny", or "lenient" (both, then GUID, then MAC).
    identity_conflict: Literal["deny", "lenient"] = "deny"
    # CM-105: "older" lets a BIOS x64 client also have an x86 image, "current" only x64.
    compatible_architectures: Literal["older", "current"] = "older"
    # CM-89: what a known device without anything to boot is told, by firmware.
    no_deployment_bios: Literal["abort", "ignore"] = "abort"
    no_deployment_uefi: Literal["abort", "ignore"] = "ignore"
    # CM-75: "ignore" availability and expiry, as documented, or "enforce" them.
    schedules: Literal["ignore", "enforce"] = "ignore"
    # CM-69: hidden deployments only by preferred id, or also "listed" like the others.
    hidden_deployments: Literal["preferred", "listed"] = "preferred"
    # CM-101: the image of the deployment that is claimed, or of the "highest-id" over both purposes.
    boot_image_of: Literal["claimed", "highest-id"] = "claimed"
    #
    required_for_unknown: bool = False
    # D5, R-58: a required deployment reaches only devices that were members when it was made, or approved since.
    approve_new_members: bool = True
    # D5, R-63: hours after arming; 0 means never.
    armed_hours: int = 24
    # Returns of claims without a launch, after which the device is held.
    max_returns: int = 5
    # D34: hours from an unreported launch to the next required deployment of its device; 0 means never.
    launch_settles_hours: int = 4
    # CM-86, W-71: what a BIOS, or a UEFI, starts Windows PE with: the program itself, or Microsoft's loader before it.
    windows_bios_chain: Literal["simple", "wdsnbp"] = "simple"
    windows_uefi_chain: Literal["simple", "wdsmgfw"] = "simple"
    # CM-88: who asks on UEFI whether an available deployment shall boot.
    windows_uefi_prompt: Literal["wdsmgfw", "none", "refuse"] = "wdsmgfw"
    # W-69: what a machine does whose required deployment waits for approval, and how often it asks.
    pending_machines: Literal["ignore", "poll"] = "ignore"
    pending_poll_seconds: int = 10
    pending_poll_count: int = 360
    # W-63: whether what wdsnbp.com says of the processor counts.
    option_250_architecture: Literal["ignore", "trust"] = "ignore"
    # W-69, W-70: whether the last answer has an option 250 where it need not tell the loader anything.
    option_250_in_final_ack: Literal["echo", "never", "always"] = "echo"
    # W-58, W-60, B-21.
    option_252_nul: bool = True
    option_243: bool = True
    windows_bcd_shape: Literal["full", "minimal"] = "full"
    # D29: required deployments for a device that its GUID alone identifies: always, only while no other MAC address
    # was seen with that GUID, or never.
    guid_alone: Literal["allow", "hold-on-conflict", "refuse"] = "hold-on-conflict"


@dataclass(frozen=True)
class Mark:
    """The ledger's newest generation of one (device, deployment).

    `claimed_at` is when its session began, `stepped_at` when its newest stage did; Unix seconds. `returnable`: its
    launch file is known, so that while the state is CLAIMED nothing can have run (safety 5.4). `why` is why it is
    held. `mac` is the MAC address that claimed, "" for a request without one, None where that is not known; `peer` the
    IPv4 address of the session. `unreported` is the time of the newest sign of a launch whose end was not reported: 0
    for none, infinite while its work is known to run (D34). `history` describes the generation before. Marks hold no
    device and are shared.
    """

    deployment_id: str
    generation: int
    state: State
    armed_at: float
    claimed_at: float = 0.0
    step: int = 0
    xid: int = 0
    session: str = ""
    stepped_at: float = 0.0
    returnable: bool = False
    returns: int = 0
    launched_at: float = 0.0
    why: str = ""
    mac: str | None = None
    peer: str | None = None
    unreported: float = 0.0
    history: str = ""

    def passes(self, step: int, xid: int, mac: str, peer: str | None) -> bool:
        """Return True if the live claim may go on with a request from this MAC and IPv4 address (D28).

        Another MAC address at another IPv4 address never may. Where one of the two addresses is not known, another MAC
        address may only continue as a later program of the same boot: firmware with MAC pass-through and the iPXE that
        it starts have different MAC addresses, and a DHCPDISCOVER has no IPv4 address. A repeat of that request passes.
        `mac` is "" for a request without a usable MAC address.
        """
        if mac and mac == self.mac:
            return True
        if peer is not None and self.peer is not None:
            return peer == self.peer
        if self.mac is None or mac == self.mac:
            return True
        return step // 2 > self.step // 2 or (step == self.step and xid == self.xid and xid != 0)

    def continues(self, step: int, xid: int, now: float, session_seconds: float) -> bool:
        """True if a request is of the boot that claimed: a later stage, or the same packet again.

        A repeat comes soon, for some firmware sends the same transaction id at every start (W-66); and an id of 0
        repeats nothing.
        """
        age = now - self.claimed_at
        if age > session_seconds or age < -CLOCK_SLACK_SECONDS:
            return False
        if step > self.step:
            return True
        soon = now - self.stepped_at <= REPEAT_SECONDS
        return soon and step == self.step and xid == self.xid and xid != 0

    def standing(self, step: int, xid: int, now: float, session_seconds: float, max_returns: int) -> Standing:
        """What it leaves to a request of its own device for its own deployment (CM-77, safety 5.4)."""
        if self.state == "ARMED":
            return "armed"
        if self.state == "HOLD":
            return "hold"
        if self.state != "CLAIMED":
            return "given"
        if self.continues(step, xid, now, session_seconds):
            return "same"
        if not self.returnable:
            return "given"
        if now - self.claimed_at <= session_seconds:
            return "same"
        return "return" if self.returns < max_returns else "worn"


@dataclass(frozen=True)
class Exclusions:
    """What this distribution point adds by itself: its exclusion list, and why required deployments are off now.

    `paused` is None, or the reason: a bad exclusion file (R-53), a halt (D8), no database (D10), no journal (D23).
    """

    macs: frozenset[str] = frozenset()
    paused: Reason | None = None


@dataclass(frozen=True)
class Site:
    """A snapshot of the site database as one distribution point sees it, made to be looked up.

    `unknown` holds this site's unknown computer objects by architecture. `marks` is keyed by deployment id, then
    device id; `live` holds each device's one mark that is CLAIMED, LAUNCHED or STARTED (I2). `hardware` gives the
    number of machines without a record that the ledger knows, by `mac:` and `guid:` identity. The duplicate sets
    hold identifiers that are left out of identification (CM-61, CM-62), `own` the MACs and GUIDs of the machines that
    pxefast runs on (R-59), `placeholders` the GUIDs that the operator added to those of `decide.placeholders` (D30);
    these hold a GUID in both its byte orders. `seen` has, by device id, the MAC addresses that its GUID was seen with
    in the last 90 days and when (Unix seconds): of each device with a GUID that was seen with a MAC address which is
    not recorded for it (D29). The service keeps it up to date like `marks`. `windows` holds the largest TFTP window, in
    blocks, of each model of machine that lost blocks of a larger one (W-105). `launches` holds the newest unreported
    launch of each device, of any state (D34).
    """

    dp: DistributionPoint
    devices_by_mac: dict[str, Device] = field(default_factory=dict)
    devices_by_guid: dict[str, Device] = field(default_factory=dict)
    unknown: dict[str, Device] = field(default_factory=dict)
    boot_images: dict[str, BootImage] = field(default_factory=dict)
    marks: dict[str, dict[int, Mark]] = field(default_factory=dict)
    live: dict[int, Mark] = field(default_factory=dict)
    hardware: dict[str, int] = field(default_factory=dict)
    session_seconds: float = 900.0
    duplicate_macs: frozenset[str] = frozenset()
    duplicate_guids: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    policy: Policy = field(default_factory=Policy)
    windows: dict[str, int] = field(default_factory=dict)
    placeholders: frozenset[str] = frozenset()
    seen: dict[int, dict[str, float]] = field(default_factory=dict)
    launches: dict[int, Mark] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What is done about a request, and every reason in the order it was found.

    `claim` True: the ledger must claim (device_id, deployment) durably before the boot program is named (I1); device_id
    is None for a machine without a record that the ledger does not know either. `identities` (`mac:..`, `guid:..`) are
    those that identified the machine, and are there whenever `claim` is. `launch_file` is the file of the image whose
    last byte is the launch, None while that is not known yet (a stage before iPXE's own program). `kind` is the boot
    image's. `because` is the reason that decided, `behind` the deployment whose launch the required one waits for.
    """

    action: Action
    reasons: tuple[Reason, ...]
    device: str | None = None
    device_id: int | None = None
    deployment: str | None = None
    boot_image: str | None = None
    boot_program: str | None = None
    claim: bool = False
    architecture: str | None = None
    firmware: str | None = None
    launch_file: str | None = None
    identities: tuple[str, ...] = ()
    kind: Kind | None = None
    because: Reason | None = None
    behind: str | None = None

    def as_dict(self) -> dict[str, object]:
        """The shape that `explain --json` and every event promise."""
        names = ("action", "device", "deployment", "boot_image", "boot_program")
        reasons = [{"code": one.code, "text": one.text, "rule": one.rule} for one in self.reasons]
        return {**{name: getattr(self, name) for name in names}, "reasons": reasons}
