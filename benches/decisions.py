"""decide() on a site of 100,000 devices: compiled by Cython against the same source interpreted."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

DEVICES = 100_000
CALLS = 200_000


def measure() -> dict[str, Any]:
    """In this process, with the modules that it loaded: nanoseconds a call, p50 and p99."""
    from pxefast import decide as d

    deployment = d.Deployment("PS120001", "PS100002", "PS100001", "PS100003", "required", "media-pxe")
    other = dataclasses.replace(deployment, id="PS120000", purpose="available")
    image = d.BootImage("PS100001", "image", "x64", {"uefi": "boot.efi"}, True, True)
    devices = [
        d.Device(
            n,
            f"d{n}",
            (f"02:00:{n >> 24:02x}:{n >> 16 & 255:02x}:{n >> 8 & 255:02x}:{n & 255:02x}",),
            None,
            "PS1",
        )
        for n in range(DEVICES)
    ]
    site = d.Site(
        d.DistributionPoint("PS1", True, True),
        {device.macs[0]: device for device in devices},
        {},
        {device.id: (deployment, other) for device in devices},
        {},
        {image.id: image},
    )
    exclusions = d.Exclusions()
    requests = [
        d.Request(
            devices[n * 7919 % DEVICES].macs[0], None, 7, True, False, "request", 0, n + 1, "eth0", None, 1e9
        )
        for n in range(4096)
    ]
    decide, clock = d.decide, time.perf_counter_ns
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
        figures[name] = {key: statistics.median(one[key] for one in measured) for key in ("p50_us", "p99_us")}
        print(f"  {name:<12} p50 {figures[name]['p50_us']:>6.2f} us   p99 {figures[name]['p99_us']:>6.2f} us")
    figures["ratio_p50"] = figures["interpreted"]["p50_us"] / figures["compiled"]["p50_us"]
    print(f"  interpreted / compiled: {figures['ratio_p50']:.2f}")
    return figures


if __name__ == "__main__":
    print(json.dumps(measure()))
