"""What the view follows: the site, the library with its gates, the exclusion list; and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pxefast.content.source import fold
from pxefast.responder import view as module
from pxefast.responder.exclusion_reader import ListReader
from pxefast.site.devices import NewDevice

from ..site.ledger_case import NAME
from .desk import IMAGE
from .views import SESSION_SECONDS, Viewer

GUID = "5c9e4b1c-0f6e-4b44-9a55-0d6a3e1b7c01"
NO_MORE = "no more; see: pxefast content status"
CHANGED = ("info", "the site changed")


def files(viewer: Viewer) -> dict[str, bool]:
    """What was published last, and which of it is behind a gate."""
    return {file.name: file.gated for file in viewer.published[-1]}


# The beginning.


def test_a_view_begins_with_the_site_and_publishes_what_the_library_has(viewer: Viewer) -> None:
    view = viewer.view
    assert (view.site.session_seconds, view.devices, view.loaded) == (SESSION_SECONDS, 2, 1_700_001_000)
    assert view.site.boot_images[IMAGE].distributed
    assert view.revision == viewer.store.revision()
    assert view.gated == {fold(NAME): NAME}
    assert files(viewer) == {NAME: True}
    assert (view.unreadable, view.lost, view.replaced, view.prove) == (None,) * 4
    assert (view.journal, view.unsafe, view.full, view.alarm, view.budget) == (None,) * 5
    assert viewer.told == []


def test_a_change_soon_after_the_start_of_the_host_is_followed_at_once(viewer: Viewer) -> None:
    viewer.touch()
    viewer.refresh(0)
    assert viewer.told == [CHANGED]


def test_a_device_with_many_identities_is_counted_once(viewer: Viewer) -> None:
    viewer.store.devices.add(NewDevice("web03", ("02:00:00:00:00:01", "02:00:00:00:00:02"), GUID))
    viewer.store.devices.add(NewDevice("web04", (), GUID.replace("5c", "5d")))
    viewer.refresh()
    assert viewer.view.devices == 4
    assert [viewer.view.device_name(number) for number in (1, 2)] == ["web01", "web02"]
    found = {device.name: device.id for device in viewer.view.site.devices_by_guid.values()}
    assert viewer.view.device_name(found["web04"]) == "web04"


# Changes.


def test_while_nothing_changes_nothing_is_read_or_said(viewer: Viewer, loads: list[Any]) -> None:
    site, loaded = viewer.view.site, viewer.view.loaded
    for _ in range(3):
        viewer.refresh()
    assert (loads, viewer.told, len(viewer.published)) == ([], [], 1)
    assert viewer.view.site is site
    assert viewer.view.loaded == loaded


def test_a_change_of_the_site_is_followed_and_said_once(viewer: Viewer, loads: list[Any]) -> None:
    revision = viewer.view.revision
    assert viewer.view.device_name(3) is None
    viewer.store.devices.add(NewDevice("web03", ("02:00:00:00:00:01",)))
    viewer.refresh()
    viewer.refresh()
    view = viewer.view
    assert loads == [(viewer.store, "dp1", {IMAGE: {}}, SESSION_SECONDS)]
    assert viewer.told == [CHANGED]
    assert (view.devices, view.loaded) == (3, viewer.clock.time() - 1)
    assert view.revision == viewer.store.revision() > revision
    (number,) = {device.id for device in view.site.devices_by_mac.values()} - {1, 2}
    assert view.device_name(number) == "web03", "found by its number as well"


@pytest.mark.parametrize(
    ("before", "now", "level", "news"),
    [
        ({}, {}, "info", ""),
        ({"A": 1}, {"A": 1}, "info", ""),
        ({"A": 1}, {"A": 2}, "info", ": now serves A version 2"),
        ({"B": 1}, {"C": 3, "A": 2, "B": 1}, "info", ": now serves A version 2, C version 3"),
        ({"B": 1, "A": 4, "C": 1}, {"C": 2}, "warning", f": now serves C version 2; serves A, B {NO_MORE}"),
        ({"A": 1}, {}, "warning", f": serves A {NO_MORE}"),
    ],
)
def test_a_change_of_the_library_says_what_is_served_now(
    before: dict[str, int], now: dict[str, int], level: str, news: str
) -> None:
    assert module._content_news(before, now) == (level, f"the content library changed{news}")


def test_a_change_of_the_library_is_followed_and_said_once(viewer: Viewer, loads: list[Any]) -> None:
    viewer.shelf.put(IMAGE, version=2)
    viewer.refresh()
    viewer.refresh()
    assert viewer.told == [("info", f"the content library changed: now serves {IMAGE} version 2")]
    assert len(loads) == 1
    viewer.shelf.put()
    viewer.touch()
    viewer.refresh()
    assert viewer.told[1:] == [("warning", f"the content library changed: serves {IMAGE} {NO_MORE}")]
    assert not viewer.view.site.boot_images[IMAGE].distributed
    assert files(viewer) == {}


# What is behind a gate.


def test_a_gate_stays_though_its_image_is_gone(viewer: Viewer) -> None:
    viewer.shelf.put()
    viewer.refresh()
    assert viewer.view.gated == {fold(NAME): NAME}
    viewer.shelf.put(IMAGE)
    viewer.refresh()
    assert files(viewer) == {NAME: True}


def test_the_gates_of_the_service_before_stay_and_are_published_at_once(viewer: Viewer) -> None:
    other = {"smsimages/ps100009/old.efi": "SMSImages/PS100009/Old.efi"}
    viewer.view.keep_gated({**other, fold(NAME): "another spelling"})
    assert viewer.view.gated == {**other, fold(NAME): NAME}
    assert len(viewer.published) == 2
    assert files(viewer) == {NAME: True}
    viewer.view.keep_gated(other)
    assert len(viewer.published) == 2, "what is known changes nothing"


def test_a_gate_is_shut_before_the_first_machine_is_sent_there(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = viewer.view.site, []
    monkeypatch.setattr(viewer.view, "_publish", lambda found: seen.append(viewer.view.site is before))
    viewer.touch()
    viewer.refresh()
    assert seen == [True]
    assert viewer.view.site is not before


# The exclusion list.


def test_the_first_list_gets_ten_seconds_to_be_shown_and_a_later_one_two(
    viewer: Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, waited = tmp_path / "excluded.txt", []
    listed.write_text("02:00:00:00:00:09\n")
    viewer.store.dps.set(mac_ignore_list_file=str(listed))
    real = ListReader.wait

    def wait(reader: ListReader, seconds: float) -> None:
        waited.append(seconds)
        real(reader, seconds)

    monkeypatch.setattr(ListReader, "wait", wait)
    view = viewer.begin()
    view.close()
    assert view.exclusion_file.exclusions.macs == {"02:00:00:00:00:09"}
    viewer.refresh()
    viewer.refresh()
    assert waited == [10.0, 2.0]


def test_who_is_excluded_is_known_before_what_was_deployed_since(
    viewer: Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "excluded.txt"
    listed.write_text("02:00:00:00:00:09\n")
    viewer.store.dps.set(mac_ignore_list_file=str(listed))
    before, seen = viewer.view.site, []
    real = viewer.view.exclusion_file.refresh

    def refresh(file: str | None, **more: Any) -> Any:
        seen.append((file, viewer.view.site is before))
        return real(file, **more)

    monkeypatch.setattr(viewer.view.exclusion_file, "refresh", refresh)
    viewer.refresh()
    assert seen == [(str(listed), True), (str(listed), False)]
    assert viewer.view.exclusion_file.exclusions.macs == {"02:00:00:00:00:09"}
    assert viewer.told == [("info", f"exclusion list {listed} read: 1 excluded"), CHANGED]


def test_a_first_list_that_cannot_be_read_ends_everything_until_it_can(
    viewer: Viewer, tmp_path: Path
) -> None:
    listed = tmp_path / "excluded.txt"
    viewer.store.dps.set(mac_ignore_list_file=str(listed))
    viewer.refresh()
    problem = viewer.view.problem()
    assert problem is not None
    assert (problem.code, problem.text.startswith(str(listed))) == ("site_unreadable", True)
    viewer.store.dps.set(mac_ignore_list_file=None)
    viewer.refresh()
    assert viewer.view.unreadable is None
