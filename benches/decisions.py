"""decide() on a site of 100,000 devices: compiled by Cython against the same source interpreted; and what it weighs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from typing import Any

DEVICES = 100_000
CALLS = 200_000
NOW = 1_700_000_000.0


def site_of(d: Any) -> Any:
    """Everything that costs a decision time: armed devices, both identifiers, site systems, duplicates."""
    image = d.BootImage("PS100001", "image", "x64", {"uefi": "boot.efi"}, True, True)
    required, available = (
        d.Deployment(number, "PS100002", image.id, "PS100003", purpose, "media-pxe")
        for number, purpose in (("PS120002", "required"), ("PS120001", "available"))
    )
    both = (required, available)
    armed = d.Mark(required.id, 1, "ARMED", NOW - 60)
    by_mac, by_guid, marks = {}, {}, {}
    for number in range(1000, 1000 + DEVICES):
        mac = f"02:00:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
        guid = f"{number:08x}-5566-7788-99aa-bbccddeeff00"
        device = d.Device(number, f"web{number}", (mac,), guid, "PS1", False, both)
        by_mac[mac] = by_guid[guid] = device
        marks[number] = armed
    return d.Site(
        d.DistributionPoint("PS1", True, True, interfaces=("eth0",)),
        by_mac,
        by_guid,
        boot_images={image.id: image},
        marks={required.id: marks},
        duplicate_macs=frozenset({"02:ff:ff:ff:ff:ff"}),
        duplicate_guids=frozenset({"ffffffff-5566-7788-99aa-bbccddeeff00"}),
        own=frozenset({"02:ff:ff:ff:ff:fe"}),
    )


def measure() -> dict[str, Any]:
    """In this process, with the modules that it loaded: microseconds a call and bytes a device."""
    from pxefast import decide as d

    tracemalloc.start()
    site = site_of(d)
    weight = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    exclusions = d.Exclusions(frozenset({"02:ff:ff:ff:ff:fd"}))
    devices = list(site.devices_by_mac.values())
    requests = []
    for n in range(4096):
        device = devices[n * 7919 % DEVICES]
        # Copies, as they come from the wire: their hashes are not known yet.
        mac, guid = device.macs[0][:1] + device.macs[0][1:], device.guid[:1] + device.guid[1:]
        requests.append(
            d.Request(mac, guid, 7, True, False, "request", 0, n + 1, "eth0", None, NOW, "02:00:00:00:00:01")
        )
    decide, clock = d.decide, time.perf_counter_ns
    if decide(requests[0], site, exclusions).action != "boot":
        raise SystemExit("the site of this bench boots nobody")
    times = []
    for n in range(CALLS):
        request = requests[n & 4095]
        began = clock()
        decide(request, site, exclusions)
        times.append(clock() - began)
    empty = []
    for _ in range(CALLS // 10):
        began = clock()
        empty.append(clock() - began)
    cost = statistics.median(empty)
    times.sort()
    return {
        "compiled": d.compiled,
        "p50_us": (times[len(times) // 2] - cost) / 1e3,
        "p99_us": (times[len(times) * 99 // 100] - cost) / 1e3,
        "bytes_a_device": weight / DEVICES,
    }


def run() -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {"compiled": [], "interpreted": []}
    for _ in range(3):
        for name, pure in (("compiled", "0"), ("interpreted", "1")):
            environment = {**os.environ, "PXEFAST_PURE": pure}
            done = subprocess.run(
                [sys.executable, __file__], env=environment, check=True, capture_output=True, text=True
            )
            runs[name].append(json.loads(done.stdout))
    figures: dict[str, Any] = {}
    for name, measured in runs.items():
        if any(one["compiled"] != (name == "compiled") for one in measured):
            raise SystemExit(f"decide is not {name} here; rebuild with: make test")
        one = {
            key: statistics.median(one[key] for one in measured)
            for key in ("p50_us", "p99_us", "bytes_a_device")
        }
        figures[name] = one
        print(
            f"  {name:<12} p50 {one['p50_us']:>6.2f} us   p99 {one['p99_us']:>6.2f} us"
            f"   {one['bytes_a_device']:>5.0f} bytes a device"
        )
    figures["ratio_p50"] = figures["interpreted"]["p50_us"] / figures["compiled"]["p50_us"]
    print(f"  interpreted / compiled: {figures['ratio_p50']:.2f}")
    return figures


if __name__ == "__main__":
    print(json.dumps(measure()))
