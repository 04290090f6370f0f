"""Every setting of the hierarchy's policy: its default, what Configuration Manager does, its rule and its meaning.

Where the documents leave something open there is a setting, and its default is what our rules settle.
"""

from __future__ import annotations

from typing import NamedTuple

from pxefast.decide.records import normal_guid
from pxefast.errors import Invalid

__all__ = ["SETTINGS", "Setting", "Value"]

Value = bool | int | str

# Nothing here counts that far.
_MOST = 1_000_000
_MOST_GUIDS = 1_000


class Setting(NamedTuple):
    """A setting that can be made. `values` are its words, or the least and greatest number; () is yes or no.

    A setting with `guids` is a list of SMBIOS GUIDs, separated by commas; "" is an empty list.
    """

    name: str
    default: Value
    configmgr: Value
    rule: str
    meaning: str
    values: tuple[str, ...] | tuple[int, int] = ()
    guids: bool = False

    def parse(self, text: str) -> Value:
        """A value from what a person wrote. Raises Invalid."""
        word = text.strip().lower()
        if self.guids:
            return self._guids(word)
        if not self.values:
            if word in ("yes", "no"):
                return word == "yes"
            raise Invalid(f"{self.name} {text!r} must be yes or no")
        least = self.values[0]
        if isinstance(least, int):
            if word.isascii() and word.isdecimal() and least <= int(word) <= int(self.values[1]):
                return int(word)
            raise Invalid(f"{self.name} {text!r} must be a number from {least} to {self.values[1]}")
        if word not in self.values:
            raise Invalid(f"{self.name} {text!r} must be {' or '.join(str(value) for value in self.values)}")
        return word

    def _guids(self, text: str) -> str:
        found: dict[str, None] = {}
        for part in text.split(",") if text else []:
            guid = normal_guid(part)
            if guid is None:
                raise Invalid(
                    f"{self.name} has {part.strip()!r}, which is not an SMBIOS GUID; write GUIDs of 8-4-4-4-12 "
                    "hexadecimal digits, separated by commas"
                )
            found[guid] = None
        if len(found) > _MOST_GUIDS:
            raise Invalid(f"{self.name} holds {len(found)} GUIDs; at most {_MOST_GUIDS} are possible")
        return ",".join(found)


SETTINGS = (
    Setting(
        "approve_new_members",
        True,
        False,
        "D5",
        "machines that join a collection after a required deployment wait for `deployment approve`",
    ),
    Setting(
        "armed_hours", 24, 0, "D5", "hours after which an unused required boot expires; 0: never", (0, 87600)
    ),
    Setting(
        "boot_image_of",
        "claimed",
        "highest-id",
        "CM-101",
        "the boot image is that of the deployment that is run, or of the highest id of both purposes",
        ("claimed", "highest-id"),
    ),
    Setting(
        "budget_claims",
        50,
        0,
        "D6",
        "required boots in budget_seconds, then all stop; 0: no limit",
        (0, _MOST),
    ),
    Setting("budget_seconds", 600, 600, "D6", "the time in which budget_claims are counted", (1, 604800)),
    Setting(
        "collection_default_size",
        100,
        100,
        "CM-82",
        "a larger target of a required deployment is warned of",
        (0, _MOST),
    ),
    Setting(
        "collection_maximum_size",
        0,
        0,
        "CM-82",
        "a larger target of a required deployment is refused; 0: none",
        (0, _MOST),
    ),
    Setting(
        "compatible_architectures",
        "older",
        "current",
        "CM-105",
        "a BIOS x64 machine takes x64 and x86 boot images (older), or x64 alone (current)",
        ("older", "current"),
    ),
    Setting("confirm_above", 20, _MOST, "D5", "more machines than this are named by --confirm", (0, _MOST)),
    Setting(
        "conflicting_records",
        "block",
        "merge",
        "CM-66",
        "an import of hardware that another device has is refused, merged into it, or made a new device",
        ("block", "merge", "new"),
    ),
    Setting(
        "guid_alone",
        "hold-on-conflict",
        "allow",
        "D29",
        "a required deployment for a device that its SMBIOS GUID alone identifies boots, waits if that GUID was seen "
        "with another MAC address, or never boots",
        ("allow", "hold-on-conflict", "refuse"),
    ),
    Setting(
        "hidden_deployments",
        "preferred",
        "preferred",
        "CM-69",
        "hidden deployments boot only by SMSTSPreferredAdvertID, or like available ones",
        ("preferred", "listed"),
    ),
    Setting(
        "identity_conflict",
        "deny",
        "lenient",
        "T17",
        "a machine that matches two devices gets nothing, or the nearer of both",
        ("deny", "lenient"),
    ),
    Setting(
        "launch_settles_hours",
        4,
        # It knows no such wait; an hour is the shortest.
        1,
        "D34",
        "hours (and at least session.seconds) from an unreported launch to another required deployment; 0: never",
        (0, 87600),
    ),
    Setting(
        "max_returns", 5, _MOST, "R-80", "broken boots before the machine is held for a person", (0, _MOST)
    ),
    Setting(
        "no_deployment_bios",
        "abort",
        "abort",
        "CM-89",
        "a BIOS machine with nothing to boot is sent on to its disk, or not answered",
        ("abort", "ignore"),
    ),
    Setting(
        "no_deployment_uefi",
        "ignore",
        "ignore",
        "CM-89",
        "a UEFI machine with nothing to boot is sent on to its disk, or not answered",
        ("abort", "ignore"),
    ),
    Setting(
        "option_243",
        True,
        True,
        "W-60",
        "Windows PE is told where its variables file is (option 243, type 1), or must ask for session.env",
    ),
    Setting(
        "option_250_architecture",
        "ignore",
        "trust",
        "W-63",
        "what wdsnbp.com says of a BIOS machine's processor counts (trust), or every one is x64",
        ("ignore", "trust"),
    ),
    Setting(
        "option_250_in_final_ack",
        "echo",
        "never",
        "W-69",
        "the last answer has an option 250 for who sent one (echo), only to have a person asked (never), or always",
        ("echo", "never", "always"),
    ),
    Setting(
        "option_252_nul",
        True,
        True,
        "W-58",
        "the BCD's path in option 252 ends with a NUL",
    ),
    Setting(
        "pending_machines",
        "ignore",
        "poll",
        "W-69",
        "a machine that waits for approval goes on as if nothing were deployed, or asks again until then (poll)",
        ("ignore", "poll"),
    ),
    Setting(
        "pending_poll_count",
        360,
        360,
        "W-69",
        "how often such a machine asks",
        (1, 65535),
    ),
    Setting(
        "pending_poll_seconds",
        10,
        10,
        "W-69",
        "seconds between two such questions",
        (1, 3600),
    ),
    Setting(
        "placeholder_guids",
        "",
        "",
        "D30",
        "SMBIOS GUIDs that identify no machine, separated by commas, in addition to those that pxefast knows",
        ("GUIDs separated by commas",),
        guids=True,
    ),
    Setting(
        "required_for_unknown", False, True, "R-51", "machines without a record take required deployments"
    ),
    Setting(
        "schedules",
        "ignore",
        "ignore",
        "CM-75",
        "availability and expiry of deployments are ignored, or enforced",
        ("ignore", "enforce"),
    ),
    Setting(
        "windows_bcd_shape",
        "full",
        "full",
        "B-21",
        "the boot configuration data has every usual object, or the few that must be there",
        ("full", "minimal"),
    ),
    Setting(
        "windows_bios_chain",
        "simple",
        "wdsnbp",
        "W-71",
        "a BIOS machine starts pxeboot at once, or wdsnbp.com before it",
        ("simple", "wdsnbp"),
    ),
    Setting(
        "windows_uefi_chain",
        "simple",
        "wdsmgfw",
        "W-71",
        "a UEFI machine starts bootmgfw.efi at once, or wdsmgfw.efi before it",
        ("simple", "wdsmgfw"),
    ),
    Setting(
        "windows_uefi_prompt",
        "wdsmgfw",
        "wdsmgfw",
        "CM-88",
        "a UEFI machine with an available deployment is asked by wdsmgfw.efi, by nobody, or does not boot",
        ("wdsmgfw", "none", "refuse"),
    ),
)
