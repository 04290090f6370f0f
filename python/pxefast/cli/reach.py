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
    from pxefast.cli.machine import Point
    from pxefast.decide import Decision, Device, Reason, Request, Site

__all__ = ["explain_deployment"]


@dataclass(frozen=True)
class Verdict:
    """Whether the deployment would boot a machine now, and the reason that decides.

    `behind` is the deployment whose launch it waits for, if any (D34).
    """

    device: str
    boots: bool
    action: str
    reason: Reason
    behind: str | None = None

    def as_dict(self) -> dict[str, object]:
        reason = {"code": self.reason.code, "text": self.reason.text, "rule": self.reason.rule}
        return {
            "device": self.device,
            "boots": self.boots,
            "action": self.action,
            "reason": reason,
            "waits_behind": self.behind,
        }


def explain_deployment(here: Context, deployment: str, request: Request, json: bool) -> None:
    """Print the verdict on every machine: a JSON array, or counts by reason and then both lists.

    Raises NotFound for a deployment that there is not.
    """
    row = here.store().deployments.get(deployment)
    point = machine.point(here)
    request = machine.heard(request, point.site.dp, None)
    reached = Reached(row.id, point.site)
    verdicts = (
        _verdict(device, asked, row.id, point)
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


def _verdict(device: Device, asked: list[Request], deployment: str, point: Point) -> Verdict:
    """A machine boots if it does through any of its network cards; else the first one's reason counts."""
    verdicts = (_through(device, request, deployment, point) for request in asked)
    first = next(verdicts)
    return first if first.boots else next((other for other in verdicts if other.boots), first)


def _through(device: Device, request: Request, deployment: str, point: Point) -> Verdict:
    decision = point.decide(request)
    if _boots(decision, deployment):
        return Verdict(device.name, True, decision.action, _decisive(decision))
    return Verdict(device.name, False, decision.action, *_against(device, request, deployment, point))


def _against(device: Device, request: Request, deployment: str, point: Point) -> tuple[Reason, str | None]:
    """Why a deployment that reaches a device does not boot it now, and which other launch it waits for."""
    from pxefast.decide import Reason

    # A point that answers nobody is the reason only for what it would boot otherwise (D4).
    dp = replace(point.site.dp, enable_pxe=True, allow_pxe_response=True)
    answering = replace(point, site=replace(point.site, dp=dp))
    decision = answering.decide(request)
    if _boots(decision, deployment):
        return point.decide(request).reasons[-1], None
    if decision.device_id != device.id and request.mac in device.macs:
        return decision.reasons[-1], None
    alone = replace(answering, site=_alone(device, request, deployment, answering.site)).decide(request)
    if not _boots(alone, deployment):
        return _decisive(alone), alone.behind
    if decision.action in machine.BOOTS:
        return Reason("other_deployment", f"deployment {decision.deployment} goes first", "CM-101"), None
    return _decisive(decision), decision.behind


def _decisive(decision: Decision) -> Reason:
    """The reason that decided."""
    return decision.because or decision.reasons[-1]


def _alone(device: Device, request: Request, deployment: str, site: Site) -> Site:
    """The same site, were this the only deployment of the device."""
    only = replace(device, deployments=tuple(one for one in device.deployments if one.id == deployment))
    if device in site.unknown.values():
        unknown = {name: only if other.id == device.id else other for name, other in site.unknown.items()}
        return replace(site, unknown=unknown)
    by_guid = {device.guid: only} if device.guid else {}
    return replace(site, devices_by_mac={request.mac: only} if request.mac else {}, devices_by_guid=by_guid)


def _boots(decision: Decision, deployment: str) -> bool:
    return decision.action in machine.BOOTS and decision.deployment == deployment


def _print(what: str, verdicts: list[Verdict]) -> None:
    boots = [verdict for verdict in verdicts if verdict.boots]
    others = [verdict for verdict in verdicts if not verdict.boots]
    print(
        f"{what} reaches {len(verdicts):,} machines: {len(boots):,} would boot now, {len(others):,} would not"
    )
    waiting = sum(verdict.behind is not None for verdict in others)
    if waiting:
        print(f"{waiting:,} wait behind another launch of their machine (setting launch_settles_hours)")
    for title, part in (("would boot now", boots), ("would not boot now", others)):
        if not part:
            continue
        print(f"\n{title}:")
        for code, count in Counter(verdict.reason.code for verdict in part).most_common():
            print(f"{count:>9,}  {code}")
        width = max(len(verdict.device) for verdict in part)
        for verdict in part:
            print(f"  {verdict.device:<{width}}  {verdict.reason.text}  [{verdict.reason.rule}]")
