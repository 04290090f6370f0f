"""The rules of the decision once more, from the documents and not from the product: no speed, no texts, few words.

`expected(request, site, exclusions)` is what the product must answer. CM-n, T17, R-n, I-n: see ARCHITECTURE.md.
"""

import uuid
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

X64 = ("x64", "uefi")
CLIENTS = {0: ("x64", "bios"), 6: ("x86", "uefi"), 7: X64, 9: X64, 11: ("arm64", "uefi")}


class End(Exception):  # noqa: N818
    """The last word was said."""


def orders(guid: str | None) -> list[str]:
    """W-30: a GUID as it is, and with its first three fields turned round."""
    return [guid, str(uuid.UUID(bytes=uuid.UUID(guid).bytes_le))] if guid else []


# D30: of each kind of placeholder; test_identity.py has the whole list.
BAD_DIGITS = (
    "0" * 32,
    "f" * 32,
    "01" * 16,
    "000102030405060708090a0b0c0d0e0f",
    "03000200040005000006000700080009",
    "6ab5b300538d10149fb5b0684d007b53",
)
BAD = {order for digits in BAD_DIGITS for order in orders(str(uuid.UUID(digits)))}


def card(mac: str) -> str | None:
    """D28: a MAC address that a network card can have."""
    first = int(mac[:2], 16) if mac else 1
    return mac if mac != "00:00:00:00:00:00" and first % 2 == 0 else None


def may_go_on(live: Any, r: Any) -> bool:
    """D28: whether a live claim may go on with a request, by MAC address, IPv4 address and stage."""
    mac, step = card(r.mac) or "", (4 if r.wds else 2 * r.ipxe) + (r.door == "request")
    if mac and mac == live.mac:
        return True
    if r.peer and live.peer:
        return bool(r.peer == live.peer)
    repeat = step == live.step and r.xid == live.xid != 0
    return live.mac is None or mac == live.mac or step // 2 > live.step // 2 or repeat


def expected(r: Any, s: Any, x: Any) -> SimpleNamespace:
    """The action, the code of the last reason (None where something boots), and what is named."""
    names = (
        "code",
        "number",
        "deployment",
        "image",
        "program",
        "launch",
    )
    out = SimpleNamespace(action="ignore", **dict.fromkeys(names))
    with suppress(End):
        rules(r, s, x, s.policy, out)
    if not (s.dp.enable_pxe and s.dp.allow_pxe_response):  # CM-1, CM-2
        out.action, out.program, out.launch = "ignore", None, None
        out.code = "responses_not_allowed" if s.dp.enable_pxe else "pxe_disabled"
    return out


def rules(r: Any, s: Any, x: Any, policy: Any, out: Any) -> None:
    def stop(when: Any, code: str, action: str = "ignore") -> None:
        if when:
            out.code, out.action = code, action
            raise End

    # Before it is known who asks.
    bound = s.dp.interfaces
    stop(not r.pxe_client, "not_pxe_client")
    stop(bound is not None and not {r.interface, r.interface_mac} & set(bound), "interface_not_bound")
    stop(r.mac in x.macs, "excluded")
    stop(r.door == "discover" and r.secs < s.dp.response_delay, "response_delay")
    usable = [] if r.guid in BAD | s.placeholders else orders(r.guid)
    stop(s.own & {r.mac, *usable}, "own_machine")

    # Who asks (CM-60 to CM-65, T17, R-56).
    mac = None if r.mac in s.duplicate_macs else card(r.mac)
    guid = None if r.guid in BAD | s.placeholders or s.duplicate_guids & set(orders(r.guid)) else r.guid
    one = s.devices_by_mac.get(mac)
    two = next((s.devices_by_guid[order] for order in orders(guid) if order in s.devices_by_guid), None)
    strict = policy.identity_conflict == "deny"
    stop(strict and one and two and one.id != two.id, "ambiguous_identity")
    stored = one.guid if one and not two and guid else None
    stop(strict and stored and not s.duplicate_guids & set(orders(stored)), "identity_mismatch")
    machine = two or one
    known = machine is not None
    arch, firmware = CLIENTS.get(r.architecture, (None, None))
    if firmware == "bios" and r.loader_architecture in (0, 6) and policy.option_250_architecture == "trust":
        arch = "x86"  # W-63
    no_arch = "no_architecture" if r.architecture is None else "unsupported_architecture"
    numbers = [machine.id] if known else []
    if not known:
        stop(not s.dp.unknown_computers, "unknown_computers_off")
        stop(arch is None, no_arch)
        machine = s.unknown.get(arch)
        stop(machine is None, "no_deployment")
        keys = [f"guid:{guid}", f"mac:{mac}"]
        numbers = list(dict.fromkeys(s.hardware[key] for key in keys if key in s.hardware))
        stop(strict and len(numbers) > 1, "ambiguous_identity")
    out.number = numbers[0] if numbers else None
    stop(known and set(machine.macs) & x.macs, "excluded")  # D31
    stop(known and machine.site != s.dp.site, "other_site")
    stop(s.own & {*machine.macs, *orders(machine.guid)}, "own_machine")
    stop(machine.protected, "protected")

    idle = getattr(policy, f"no_deployment_{firmware}") if known and firmware else "ignore"  # CM-89
    live = next((s.live[number] for number in numbers if number in s.live), None)
    launch = next((s.launches[number] for number in numbers if number in s.launches), None)
    hours = policy.launch_settles_hours
    if launch and hours and r.now >= launch.unreported + max(3600 * hours, s.session_seconds):  # D34
        launch = None
    young = launch and r.now - max(launch.claimed_at, launch.launched_at) <= s.session_seconds
    if young and launch.state != "CLAIMED":  # I4
        out.deployment = launch.deployment_id
        codes = {"HOLD": "hold", "WITHDRAWN": "waits_behind"}
        stop(True, codes.get(launch.state, "already_offered"), idle)
    claimed = live and live.state == "CLAIMED"
    if claimed and r.now - live.claimed_at <= s.session_seconds and not may_go_on(live, r):  # D28
        out.deployment = live.deployment_id
        stop(True, "other_session")

    # What reaches it (CM-67 to CM-71, CM-95, R-51).
    by_pxe = [d for d in machine.deployments if d.audience != "clients" and d.boot_image_id is not None]
    shown = [d for d in by_pxe if d.id == machine.preferred] or [
        d for d in by_pxe if d.audience != "media-pxe-hidden" or policy.hidden_deployments == "listed"
    ]
    stop(not shown, "no_deployment", idle)
    stop(arch is None, no_arch)
    if not known and not (policy.required_for_unknown and (mac or guid)):
        shown = [d for d in shown if d.purpose == "available"]

    def best(deployments: list[Any]) -> Any:  # CM-101 to CM-106
        also = (
            "x86" if (arch, firmware) == CLIENTS[0] and policy.compatible_architectures == "older" else arch
        )
        kinds = {
            d.id: s.boot_images[d.boot_image_id].architecture
            for d in deployments
            if d.boot_image_id in s.boot_images
        }
        fitting = [d for d in deployments if kinds.get(d.id) in (arch, also)]
        return max(fitting, key=lambda d: (kinds[d.id] == arch, d.id), default=None)

    def late(d: Any) -> str | None:  # CM-75
        if policy.schedules == "enforce" and d.available_at is not None and r.now < d.available_at:
            return "not_yet_available"
        if policy.schedules == "enforce" and d.expires_at is not None and r.now >= d.expires_at:
            return "expired"
        return None if d.enabled else "deployment_disabled"

    def mark_of(d: Any) -> Any:
        marks = s.marks.get(d.id, {})
        who = [*numbers[:1], *([machine.id] if d.purpose == "required" else [])]
        return next((marks[number] for number in who if number in marks), None)

    def same_boot(mark: Any) -> bool:  # F-42
        step = (4 if r.wds else 2 * r.ipxe) + (r.door == "request")
        repeat = step == mark.step and r.xid == mark.xid != 0 and r.now - mark.stepped_at <= 30
        return -60 <= r.now - mark.claimed_at <= s.session_seconds and (step > mark.step or repeat)

    def given(d: Any) -> str | None:  # CM-77, safety 5.4
        mark = mark_of(d)
        if mark is None or mark.state == "ARMED":
            return None
        if mark.state in ("HOLD", "WITHDRAWN", "CLEARED"):
            return "hold" if mark.state == "HOLD" else "withdrawn"
        if mark.state != "CLAIMED" or not (mark.returnable or same_boot(mark)):
            return "already_offered"
        old = r.now - mark.claimed_at > s.session_seconds
        return "hold" if old and mark.returns >= policy.max_returns else None

    def unarmed(d: Any) -> str | None:  # T23
        mark = mark_of(d)
        if mark is None and policy.approve_new_members:
            return "pending_approval"
        age = r.now - (d.created_at if mark is None else mark.armed_at)
        return (
            "clock_behind"
            if age < -60
            else "arming_expired"
            if 0 < policy.armed_hours * 3600 <= age
            else None
        )

    def unsure() -> str | None:  # D29
        if not known or mac in machine.macs or policy.guid_alone == "allow":
            return None
        by_mac = live and live.mac in machine.macs and live.mac not in s.duplicate_macs
        of_record = by_mac and live.state == "CLAIMED" and live.peer
        if of_record and r.now - live.claimed_at <= s.session_seconds and may_go_on(live, r):
            return None
        if policy.guid_alone == "refuse":
            return "guid_alone"
        foreign = {*s.seen.get(machine.id, {}), *([mac] if mac else [])} - set(machine.macs)
        return "guid_conflict" if len(foreign) > (0 if machine.macs else 1) else None

    # Required before available; only the newest that suits, and none once the newest of all was given (CM-72, CM-77).
    required, why, boots = [d for d in shown if d.purpose == "required"], "no_deployment", False
    waits = False
    pick = best(required)
    if required:
        newest = max(required, key=lambda d: d.id)
        if newest is not pick and given(newest):
            why, out.deployment = given(newest), newest.id
        elif pick is None:
            why = "no_boot_image"
        else:
            why, out.deployment = given(pick) or unarmed(pick) or late(pick), pick.id
            why = why or unsure()
            boots, waits = why is None, why == "pending_approval"
    alone = live and live.state == "CLAIMED" and not live.returnable  # I2
    if (
        alone
        and r.now - live.claimed_at <= s.session_seconds
        and not (boots and pick.id == live.deployment_id)
    ):
        stop(not boots and out.deployment == live.deployment_id, why, idle)
        out.deployment = live.deployment_id
        stop(True, "other_session")
    if boots and launch and launch.deployment_id != pick.id:  # D34
        boots, why = False, "waits_behind"
    if boots:
        stop(x.paused, x.paused and x.paused.code)  # R-53, D8
    else:
        available = [d for d in shown if d.purpose == "available"]
        why = [why, *(late(d) for d in available if late(d))][-1]
        in_time = [d for d in available if not late(d)]
        first, pick = pick, best(in_time)
        stop(pick is None and (in_time or why == "no_boot_image"), "no_boot_image")
        if pick is None and waits and policy.pending_machines == "poll":
            image = s.boot_images[first.boot_image_id]
            loader = image.programs.get(f"{firmware}_loader")
            if image.kind == "windows-pe":  # W-69
                stop(not image.pxe_enabled, "boot_image_not_pxe_enabled", idle)
                stop(not image.distributed, "boot_image_not_distributed", idle)
                stop(not r.wds and loader is None, "no_windows_program", idle)
                out.image, out.program = image.id, None if r.wds else loader
                stop(True, "polls", "pending")
        stop(pick is None, why, idle)
    out.deployment = pick.id

    # Which boot image and boot program (CM-101, CM-111, W-49).
    source = best(shown) if policy.boot_image_of == "highest-id" else pick
    image = s.boot_images[source.boot_image_id]
    out.image = image.id
    stop(source is not pick and late(source), late(source))
    stop(not image.pxe_enabled, "boot_image_not_pxe_enabled")
    stop(not image.distributed, "boot_image_not_distributed")
    if image.kind == "windows-pe":  # CM-86 to CM-88, W-71
        by_wdsmgfw = not boots and policy.windows_uefi_prompt == "wdsmgfw"
        if firmware == "uefi":
            stop(not boots and policy.windows_uefi_prompt == "refuse", "no_prompt")
            name = "uefi_loader" if by_wdsmgfw or policy.windows_uefi_chain == "wdsmgfw" else "uefi"
        else:
            last = "bios" if boots else "bios_prompt"
            name = "bios_loader" if policy.windows_bios_chain == "wdsnbp" else last
        if r.wds and name.endswith("_loader"):
            name = "uefi" if firmware == "uefi" else last
        stop(name not in image.programs, "no_windows_program")
        out.action, out.program = "boot" if boots else "prompt", image.programs[name]
        out.launch = image.launch_file
        return
    stop(r.wds, "no_loader_program")
    mark = mark_of(pick)
    again = mark is not None and mark.state == "CLAIMED" and same_boot(mark) and mark.step < 2
    stop(r.ipxe and "ipxe" not in image.programs and again, "no_ipxe_program")
    name = "ipxe" if r.ipxe and "ipxe" in image.programs else firmware
    stop(name not in image.programs, "no_boot_program")
    out.action, out.program = "boot" if boots else "prompt", image.programs[name]
    out.launch = image.launch_file or (out.program if r.ipxe or "ipxe" not in image.programs else None)
