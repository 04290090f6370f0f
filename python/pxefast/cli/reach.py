"""`pxefast explain --deployment`: every machine that a deployment reaches, and what it would do to each now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pxefast.cli import machine
from pxefast.cli.output import JsonArray, progress

if TYPE_CHECKING:
    from pxefast.cli.context import Context
    from pxefast.decide import Decision, Device, Exclusions, Reason, Request, Site

__all__ = ["explain_deployment"]


@dataclass(frozen=True)
class Verdict:
    """Whether the deployment would boot a machine now, and the reason that decides."""

    device: str
    boots: bool
    action: str
    reason: Reason

    def as_dict(self) -> dict[str, object]:
        reason = {"code": self.reason.code, "text": self.reason.text, "rule": self.reason.rule}
        return {"device": self.device, "boots": self.boots, "action": self.action, "reason": reason}


def explain_deployment(here: Context, deployment: str, request: Request, json: bool) -> None:
    """Print the verdict on every machine: a JSON array, or counts by reason and then both lists.

    Raises NotFound for a deployment that there is not.
    """
    row = here.store().deployments.get(deployment)
    site = machine.site(here)
    request = machine.heard(request, site.dp, None)
    exclusions = machine.exclusions(here, site)
    reached = Reached(row.id, site)
    verdicts = (
        _verdict(device, asked, row.id, site, exclusions)
        for device, asked in progress(reached.asked(request), "machines", len(reached.devices))
    )
    if json:
        with JsonArray() as array:
            for verdict in verdicts:
                array.add(verdict.as_dict())
        return
    _print(f"{row.purpose} deployment {row.id}", list(verdicts))


class Reached:
    """The devices that a deployment reaches, unknown computer objects among them."""

    def __init__(self, deployment: str, site: Site) -> None:
        # Devices of the same collections share one tuple, so that few are looked through.
        shared: dict[int, bool] = {}

        def reaches(device: Device) -> bool:
            found = shared.get(id(device.deployments))
            if found is None:
                found = any(one.id == deployment for one in device.deployments)
                shared[id(device.deployments)] = found
            return found

        self._unknown = {
            device.id: architecture for architecture, device in site.unknown.items() if reaches(device)
        }
        self.devices = [device for device in machine.devices(site) if reaches(device)]
        self.devices += [device for device in site.unknown.values() if device.id in self._unknown]

    def asked(self, request: Request) -> Iterator[tuple[Device, list[Request]]]:
        """Each device with what it would ask, through each of its network cards."""
        for device in self.devices:
            architecture = self._unknown.get(device.id)
            if architecture is None:
                yield device, list(machine.starts(device, request))
            else:
                yield (
                    device,
                    [replace(machine.stranger(request), architecture=machine.code(architecture, "uefi"))],
                )


def _verdict(
    device: Device, asked: list[Request], deployment: str, site: Site, exclusions: Exclusions
) -> Verdict:
    """A machine boots if it does through any of its network cards; else the first one's reason counts."""
    verdicts = (_through(device, request, deployment, site, exclusions) for request in asked)
    first = next(verdicts)
    return first if first.boots else next((other for other in verdicts if other.boots), first)


def _through(
    device: Device, request: Request, deployment: str, site: Site, exclusions: Exclusions
) -> Verdict:
    from pxefast.decide import decide

    decision = decide(request, site, exclusions)
    if _boots(decision, deployment):
        return Verdict(device.name, True, decision.action, decision.reasons[-1])
    return Verdict(
        device.name, False, decision.action, _against(device, request, deployment, site, exclusions)
    )


def _against(device: Device, request: Request, deployment: str, site: Site, exclusions: Exclusions) -> Reason:
    """Why a deployment that reaches a device does not boot it now."""
    from pxefast.decide import Reason, decide

    # A point that answers nobody is the reason only for what it would boot otherwise (D4).
    answers = replace(site, dp=replace(site.dp, enable_pxe=True, allow_pxe_response=True))
    decision = decide(request, answers, exclusions)
    if _boots(decision, deployment):
        return decide(request, site, exclusions).reasons[-1]
    if decision.device_id != device.id and request.mac in device.macs:
        return decision.reasons[-1]
    alone = decide(request, _alone(device, request, deployment, answers), exclusions)
    if not _boots(alone, deployment):
        return alone.reasons[-1]
    if decision.action in machine.BOOTS:
        return Reason("other_deployment", f"deployment {decision.deployment} goes first", "CM-101")
    return decision.reasons[-1]


def _alone(device: Device, request: Request, deployment: str, site: Site) -> Site:
    """The same site, were this the only deployment of the device."""
    only = replace(device, deployments=tuple(one for one in device.deployments if one.id == deployment))
    if device in site.unknown.values():
        return replace(
            site,
            unknown={name: only if other.id == device.id else other for name, other in site.unknown.items()},
        )
    return replace(
        site,
        devices_by_mac={request.mac: only} if request.mac else {},
        devices_by_guid={device.guid: only} if device.guid else {},
    )


def _boots(decision: Decision, deployment: str) -> bool:
    return decision.action in machine.BOOTS and decision.deployment == deployment


def _print(what: str, verdicts: list[Verdict]) -> None:
    boots = [verdict for verdict in verdicts if verdict.boots]
    others = [verdict for verdict in verdicts if not verdict.boots]
    print(
        f"{what} reaches {len(verdicts):,} machines: {len(boots):,} would boot now, {len(others):,} would not"
    )
    for title, part in (("would boot now", boots), ("would not boot now", others)):
        if not part:
            continue
        print(f"\n{title}:")
        for code, count in Counter(verdict.reason.code for verdict in part).most_common():
            print(f"{count:>9,}  {code}")
        width = max(len(verdict.device) for verdict in part)
        for verdict in part:
            print(f"  {verdict.device:<{width}}  {verdict.reason.text}  [{verdict.reason.rule}]")
