"""What a session carries: sizes of the nearest level that says any, variables that are no secret (CM-41 to CM-46)."""

from __future__ import annotations

import json

import pytest

from .chain import Machine
from .conftest import Floor
from .pxe import ROM, UEFI_X64, Firmware

# From the last in line to the first; each size by itself.
LEVELS = [
    ("distribution point", 2048, 2),
    ("boundary group", 3072, 3),
    ("boot image", 5120, 5),
    ("collection", 6144, 6),
    ("device", 7168, 7),
]


def say(floor: Floor, machine: Machine, level: str, block: int, window: int) -> None:
    """Let one level have its say about the sizes."""
    home, image = floor.site.home, floor.images["x64"]
    sizes = [f"--tftp-block-size={block}", f"--tftp-window-size={window}", "--no-tftp-variable-window"]
    words = {"RamDiskTFTPBlockSize": block, "RamDiskTFTPWindowSize": window}
    name = floor.site.name(machine)
    match level:
        case "distribution point":
            home.run("dp", "set", *(size.replace("--tftp", "--ramdisk-tftp") for size in sizes[:2]))
        case "boundary group":
            point = json.loads(home.run("dp", "list", "--json"))[0]["name"]
            home.run("boundary-group", "create", name)
            home.run("boundary-group", "add", name, "--subnet", f"{machine.address}/32", "--dp", point)
            home.run("boundary-group", "set", name, *sizes)
        case "boot image":
            home.run("boot-image", "set", image, *sizes)
        case "collection":
            home.run("collection", "create", f"of {name}")
            home.run("collection", "add", f"of {name}", name)
            for key, value in words.items():
                home.run("collection", "variable", "set", f"of {name}", key, str(value))
        case "device":
            for key, value in words.items():
                home.run("device", "variable", "set", name, key, str(value))
    floor.site.settle()


@pytest.mark.parametrize("firmware", [ROM, UEFI_X64], ids=["BIOS", "UEFI"])
def test_the_sizes_are_those_of_the_nearest_level_that_says_any(floor: Floor, firmware: Firmware) -> None:
    machine = floor.site.machine(firmware, floor.images["x64"], "available")
    for level, block, window in LEVELS:
        say(floor, machine, level, block, window)
        started = machine.boot()
        found = (started.entry.block, started.entry.window)
        assert found == (block, window), level
        assert (started.wim.granted.block, started.wim.granted.window) == found
    floor.site.home.run("boot-image", "set", floor.images["x64"], "--no-tftp-sizes")


def test_variables_reach_windows_by_their_order_and_secrets_do_not(floor: Floor) -> None:
    site = floor.site
    machine = site.machine(UEFI_X64, floor.images["x64"], None, key=True)
    name = site.name(machine)
    deployed = site.home.deploy(floor.images["x64"], [name], "available")
    for owner, kind, keys in (
        (name, "device", {"ROLE": "db", "PASSWORD": "hunter2"}),
        (deployed.id, "deployment", {"ROLE": "web", "LAYER": "two"}),
        (deployed.collection, "collection", {"ROLE": "any", "LAYER": "one", "PLACE": "rack 7 = left"}),
    ):
        for key, value in keys.items():
            if key == "PASSWORD":
                site.home.secret(kind, owner, key, value)
            else:
                site.home.run(kind, "variable", "set", owner, key, value)
    site.settle()
    started = machine.boot()
    variables = machine.variables(started.answer)
    said = {key: variables.get(key) for key in ("ROLE", "LAYER", "PLACE", "PASSWORD")}
    assert said == {"ROLE": "db", "LAYER": "two", "PLACE": "rack 7 = left", "PASSWORD": None}
    assert variables["PXEFAST_DEPLOYMENT"] == deployed.id
    assert not any("hunter2" in value for value in variables.values())
    assert b"hunter2" not in b"".join(answer.raw for answer in machine.answers)
