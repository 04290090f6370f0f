"""Random sites and requests that collide: few addresses, few ids, and times on both sides of every limit."""

import math
import random
from dataclasses import replace
from types import ModuleType
from typing import Any

from .reference import orders

NOW = 1_700_000_000.0
SESSION = 900.0
MACS = [f"02:00:00:00:00:0{digit}" for digit in range(5)]
GUIDS = [
    "11223344-5566-7788-99aa-bbccddeeff00",
    "aabbccdd-eeff-0011-2233-445566778899",
    "00000000-0000-0000-0000-000000000001",
]
BAD_GUID = "03000200-0400-0500-0006-000700080009"
NO_CARDS = ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"]
PEERS = ["10.0.0.1", "10.0.0.2"]
DEPLOYMENTS = ["AAA20001", "PS120001", "PS120002", "PS120003", "ZZZ20001"]
IMAGES = ["PS100001", "PS100002", "PS100003", "PS100004"]
ARCHITECTURES = ["x86", "x64", "arm64"]
WINDOWS = ["bios", "bios_prompt", "bios_loader", "uefi", "uefi", "uefi_loader"]
STATES = ["ARMED", "CLAIMED", "LAUNCHED", "STARTED", "DONE", "FAILED", "HOLD", "WITHDRAWN", "CLEARED"]
LIVE = STATES[1:4]


class Worlds:
    """Makes sites and requests, in one implementation's records, from one seed."""

    def __init__(self, decide: ModuleType, seed: int) -> None:
        self.decide = decide
        self.random = random.Random(seed)

    def rarely(self, chance: float = 0.1) -> bool:
        return self.random.random() < chance

    def some(self, items: list[Any], chance: float = 0.5) -> list[Any]:
        return [item for item in items if self.random.random() < chance]

    def when(self, *ages: float) -> float:
        return NOW - self.random.choice(ages)

    def site(self) -> Any:
        d, pick = self.decide, self.random.choice
        deployments = [self._deployment(name) for name in self.some(DEPLOYMENTS, 0.6)]
        devices = [self._device(number, deployments) for number in range(1, 4)]
        unknown = [
            self._device(900 + number, deployments, f"{architecture} Unknown Computer (PS1)")
            for number, architecture in enumerate(ARCHITECTURES)
            if not self.rarely()
        ]
        macs, guids = MACS[:], GUIDS[:]
        self.random.shuffle(macs)
        self.random.shuffle(guids)
        devices = [
            replace(
                device,
                macs=tuple(macs.pop() for _ in range(pick([0, 1, 1, 2])) if macs),
                guid=pick(orders(guids.pop())) if guids and self.rarely(0.6) else None,
            )
            for device in devices
        ]
        hardware = {f"mac:{mac}": pick([50, 51]) for mac in self.some(macs)}
        hardware |= {f"guid:{pick(orders(guid))}": pick([50, 51]) for guid in self.some(guids)}
        numbers = [device.id for device in (*devices, *unknown)] + [50, 51]
        marks, live = self._ledger(numbers, deployments)
        return d.Site(
            dp=self._point(),
            devices_by_mac={mac: device for device in devices for mac in device.macs},
            devices_by_guid={device.guid: device for device in devices if device.guid},
            unknown={device.name.split()[0]: device for device in unknown},
            boot_images={name: self._image(name) for name in self.some(IMAGES, 0.9)},
            marks=marks,
            live=live,
            hardware=hardware,
            # Sometimes longer than launches take to settle.
            session_seconds=pick([SESSION, SESSION, SESSION, 5 * 3600.0]),
            duplicate_macs=frozenset(self.some(MACS, 0.04)),
            duplicate_guids=frozenset(order for guid in self.some(GUIDS, 0.04) for order in orders(guid)),
            own=frozenset(
                self.some(MACS, 0.01) + [order for guid in self.some(GUIDS, 0.01) for order in orders(guid)]
            ),
            policy=self._policy(),
            placeholders=frozenset(order for guid in self.some(GUIDS, 0.02) for order in orders(guid)),
            seen={device.id: self._seen(device) for device in devices if self.rarely(0.3)},
            launches=self._launches(numbers, marks),
        )

    def _seen(self, device: Any) -> dict[str, float]:
        """What its GUID was seen with: its own MAC addresses, and another one or two."""
        macs = [*device.macs, *self.some(MACS, 0.2)]
        return {mac: self.when(1, 3600) for mac in macs}

    def exclusions(self) -> Any:
        d = self.decide
        paused = d.Reason("halted", "somebody pulled the brake", "D8") if self.rarely() else None
        return d.Exclusions(frozenset(self.some(MACS, 0.04)), paused)

    def request(self, site: Any) -> Any:
        """Mostly of a device of the site, as it is; else of any addresses together."""
        pick = self.random.choice
        mac, guid = "" if self.rarely(0.05) else pick(MACS), pick([None, BAD_GUID, *GUIDS])
        if site.devices_by_mac and self.rarely(0.6):
            mac, device = pick(list(site.devices_by_mac.items()))
            guid = device.guid if self.rarely(0.9) else guid
        if site.devices_by_guid and self.rarely(0.15):
            guid = pick(list(site.devices_by_guid))
            mac = pick(["", "02:00:00:00:00:09", *MACS])
        if self.rarely(0.03):
            mac = pick(NO_CARDS)
        wds = self.rarely(0.25)
        return self.decide.Request(
            mac=mac,
            guid=pick(orders(guid)) if guid else None,
            architecture=None if self.rarely(0.02) else pick([0, 0, 0, 0, 6, 7, 7, 7, 7, 9, 11, 16]),
            pxe_client=not self.rarely(0.01),
            ipxe=self.rarely(0.3),
            door=pick(["discover", "request"]),
            secs=pick([0, 3, 4]),
            xid=pick([0, 1, 2]),
            interface="eth1" if self.rarely() else "eth0",
            giaddr=None,
            now=NOW,
            interface_mac=pick(["", "02:ff:00:00:00:01", "02:ff:00:00:00:02"]),
            wds=wds,
            loader_architecture=pick([None, 0, 6, 7, 9]) if wds else None,
            peer=pick([None, *PEERS]),
        )

    def _point(self) -> Any:
        pick = self.random.choice
        return self.decide.DistributionPoint(
            site="PS1",
            enable_pxe=not self.rarely(0.01),
            allow_pxe_response=not self.rarely(0.01),
            interfaces=pick([("eth1", "02:ff:00:00:00:01"), ()])
            if self.rarely()
            else pick([None, ("eth0",)]),
            unknown_computers=self.rarely(0.7),
            response_delay=4 if self.rarely() else 0,
        )

    def _policy(self) -> Any:
        pick = self.random.choice
        return self.decide.Policy(
            identity_conflict=pick(["deny", "lenient"]),
            compatible_architectures=pick(["older", "current"]),
            no_deployment_bios=pick(["abort", "ignore"]),
            no_deployment_uefi=pick(["abort", "ignore"]),
            schedules=pick(["ignore", "enforce"]),
            hidden_deployments=pick(["preferred", "listed"]),
            boot_image_of=pick(["claimed", "claimed", "highest-id"]),
            required_for_unknown=pick([True, False]),
            approve_new_members=pick([True, False]),
            armed_hours=pick([0, 1, 24]),
            max_returns=pick([0, 5]),
            guid_alone=pick(["allow", "allow", "hold-on-conflict", "refuse"]),
            launch_settles_hours=pick([0, 1, 4]),
            windows_bios_chain=pick(["simple", "wdsnbp"]),
            windows_uefi_chain=pick(["simple", "wdsmgfw"]),
            windows_uefi_prompt=pick(["wdsmgfw", "none", "refuse"]),
            pending_machines=pick(["ignore", "poll"]),
            option_250_architecture=pick(["ignore", "trust"]),
        )

    def _device(self, number: int, deployments: list[Any], name: str = "") -> Any:
        preferred = self.random.choice(DEPLOYMENTS) if self.rarely(0.2) else None
        return self.decide.Device(
            number,
            name or f"web0{number}",
            (),
            None,
            "AAA" if self.rarely(0.05) and not name else "PS1",
            self.rarely(0.05),
            tuple(reversed(self.some(deployments, 0.6))),
            preferred,
        )

    def _deployment(self, name: str) -> Any:
        pick = self.random.choice
        return self.decide.Deployment(
            name,
            "PS100009",
            None if self.rarely(0.07) else pick(IMAGES),
            "PS100008",
            pick(["required", "required", "available"]),
            pick(["clients", "clients-media-pxe", "media-pxe", "media-pxe", "media-pxe-hidden"]),
            not self.rarely(),
            self.when(1, 0, -1) if self.rarely(0.3) else None,
            self.when(1, 0, -1) if self.rarely(0.3) else None,
            self.when(0, 3599, 3600, 86400, 10),
        )

    def _image(self, name: str) -> Any:
        pick = self.random.choice
        windows = self.rarely(0.5)
        programs = self.some(WINDOWS if windows else ["bios", "bios", "uefi", "uefi", "ipxe"], 0.75)
        return self.decide.BootImage(
            name,
            name,
            pick(["x86", "x64", "x64", "x64", "arm64"]),
            {kind: f"{name}.{kind}" for kind in programs},
            not self.rarely(),
            not self.rarely(),
            "boot.wim" if windows else pick([None, "boot.wim"]),
            "windows-pe" if windows else "files",
        )

    def _ledger(self, numbers: list[int], deployments: list[Any]) -> tuple[dict[str, Any], dict[int, Any]]:
        marks: dict[str, dict[int, Any]] = {}
        live: dict[int, Any] = {}
        for deployment in deployments:
            for number in numbers:
                required = deployment.purpose == "required"
                if self.rarely(0.25 if required else 0.6):
                    continue
                mark = self._mark(deployment.id, "CLAIMED" if not required else None)
                if required and mark.state in LIVE:
                    if number in live:
                        mark = replace(mark, state="DONE")
                    else:
                        live[number] = mark
                marks.setdefault(deployment.id, {})[number] = mark
        return marks, live

    def _launches(self, numbers: list[int], marks: dict[str, Any]) -> dict[int, Any]:
        """The newest unreported launch of each device, some of deployments that were removed."""
        launches = {}
        for number in numbers:
            found = [of[number] for of in marks.values() if number in of and of[number].unreported]
            if self.rarely(0.08):
                found.append(self._mark("PS120000", self.random.choice(["WITHDRAWN", "HOLD"])))
            if found:
                launches[number] = max(found, key=lambda mark: mark.unreported)
        return {number: mark for number, mark in launches.items() if mark.unreported}

    def _mark(self, deployment: str, state: str | None) -> Any:
        pick = self.random.choice
        armed = self.when(0, 10, 3599, 3600, 86399, 86400, -60, -61)
        state = state or pick([*STATES, *["ARMED"] * 8, "CLAIMED", "CLAIMED"])
        if state == "ARMED":
            again = self.rarely(0.2)
            history = "never launched, cleared by root" if again else ""
            return self.decide.Mark(deployment, 2 if again else 1, state, armed, history=history)
        claimed = self.when(0, 10, 899, 900, 901, -60, -61, 3600, 14399, 14400, 14401)
        returnable = pick([True, False])
        unreported = {
            "CLAIMED": 0.0 if returnable else claimed,
            "LAUNCHED": claimed,
            "STARTED": math.inf,
            "HOLD": pick([0.0, claimed, claimed + 600]),
            "WITHDRAWN": pick([0.0, claimed, claimed + 600]),
        }
        return self.decide.Mark(
            deployment,
            1,
            state,
            armed,
            claimed,
            pick([0, 1, 2, 3, 5]),
            pick([0, 1, 2]),
            "00" * 16,
            self.when(5, 30, 31),
            returnable,
            pick([0, 4, 5, 6]),
            claimed if state != "CLAIMED" else 0.0,
            "",
            pick([None, "", *MACS, *MACS]),
            pick([None, *PEERS]),
            unreported.get(state, 0.0),
        )
