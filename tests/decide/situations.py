"""Changes of the ordinary world of `World`, each a situation that a decision is made in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .conftest import World

MAC, GUID, NOW = World.MAC, World.GUID, World.NOW
OTHER_MAC, OTHER_GUID = "02:00:00:00:00:02", "99999999-0000-0000-0000-000000000001"
NEW = {"mac": "02:00:00:00:00:09", "guid": "99999999-0000-0000-0000-000000000009"}
ABORT = {"no_deployment_uefi": "abort"}
# A launch whose session is over.
OVER = {"claimed_at": NOW - 950, "launched_at": NOW - 901}

Change = Callable[[World], None]


def with_(**values: Any) -> Change:
    """Set these attributes of the world; `dp` and `policy` are added to."""

    def change(world: World) -> None:
        for name, value in values.items():
            if name in ("dp", "policy"):
                value = {**getattr(world, name), **value}
            setattr(world, name, value)

    return change


def excluded(world: World) -> None:
    world.exclusions = world.decide.Exclusions(frozenset({MAC}))


def halted(world: World) -> None:
    world.exclusions = world.decide.Exclusions(paused=world.decide.Reason("halted", "stop", "D8"))


def halted_with_another(world: World) -> None:
    halted(world)
    also_available(world)


def protected(world: World) -> None:
    world.devices = [world.device(protected=True)]


def two_devices(world: World) -> None:
    world.devices.append(world.device(2, "web02", [OTHER_MAC], OTHER_GUID))


def other_image(world: World) -> None:
    world.images = [world.image("PS100001", "arm64")]


def also_available(world: World) -> None:
    world.deployments[1].append(world.deployment("PS120000", purpose="available"))


def only_available(world: World) -> None:
    world.deployments = {1: [world.deployment("PS120001", purpose="available")]}


def marked(deployment: str, state: str, number: int = 1, **fields: Any) -> Change:
    def change(world: World) -> None:
        world.policy.update(ABORT)
        world.marks = {(number, deployment): world.mark(deployment, state, **fields)}

    return change


def then(*changes: Change) -> Change:
    def change(world: World) -> None:
        for each in changes:
            each(world)

    return change


def unknown(*made: str, **policy: Any) -> Change:
    """Unknown computers are answered; x64 ones get PS120002, once for each of these purposes."""

    def change(world: World) -> None:
        world.dp["unknown_computers"] = True
        world.policy.update(policy)
        world.unknown = {
            "x64": tuple(
                world.deployment(f"PS12000{2 + place}", purpose=purpose) for place, purpose in enumerate(made)
            )
        }

    return change


def windows(world: World) -> None:
    image = world.image("PS100001", launch="boot.wim", uefi="x64/bootmgfw.efi", uefi_loader="x64/wdsmgfw.efi")
    world.images = [replace(image, kind="windows-pe")]


def highest(available_at: float | None = None, **image: Any) -> Change:
    """An available deployment with a higher id and another image; its image is the one that boots."""

    def change(world: World) -> None:
        world.policy.update({"boot_image_of": "highest-id", "schedules": "enforce"})
        world.images = [world.image("PS100001"), world.image("PS100002", **{"uefi": "other.efi", **image})]
        world.deployments[1].append(
            world.deployment("PS120009", "PS100002", "available", available_at=available_at)
        )

    return change
