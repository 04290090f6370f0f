"""Versions, orders and what points say of them, on each kind of database."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pxefast.errors import AlreadyExists, NotFound
from pxefast.site.contents import AssignmentRow, VersionRow
from pxefast.site.store import Store


@pytest.fixture
def image(store: Store) -> str:
    return store.boot_images.add("linux", "x64", Path("/nowhere"), {"uefi": "grubx64.efi"}).id


def version(store: Store, image: str, number: int = 1) -> VersionRow:
    new = VersionRow(image, number, 1, f"{number:064x}", 1000 * number, 3, 1.5)
    store.contents.add_version(new)
    return new


def only(store: Store, image: str, point: str = "dp1") -> AssignmentRow:
    (row,) = store.contents.all(point, image)
    return row


def test_the_newest_version_is_the_one_with_the_highest_number(store: Store, image: str) -> None:
    assert store.contents.newest(image) is None
    first, second = version(store, image), version(store, image, 2)
    assert store.contents.newest(image) == second
    assert store.contents.version(image, 1) == first
    assert store.contents.versions() == {image: {1: first, 2: second}}
    with pytest.raises(NotFound, match="no version 3"):
        store.contents.version(image, 3)


def test_of_two_who_package_at_the_same_time_the_second_is_told(store: Store, image: str) -> None:
    version(store, image)
    with pytest.raises(AlreadyExists, match="at the same time"):
        version(store, image)


def test_a_new_version_says_which_older_ones_somebody_still_wants(store: Store, image: str) -> None:
    first = version(store, image)
    store.contents.distribute(first, ["dp1"])
    version(store, image, 2)
    third = VersionRow(image, 3, 1, "3" * 64, 1, 1, 1.0)
    assert store.contents.add_version(third) == [(1, first.manifest)]


def test_an_order_raises_the_attempt_and_leaves_what_is_served(store: Store, image: str) -> None:
    store.contents.distribute(version(store, image), ["dp1"])
    row = only(store, image)
    assert (row.version, row.attempt, row.state, row.total, row.served_version) == (
        1,
        1,
        "wanted",
        1000,
        None,
    )
    assert store.contents.report(row, "served", served_version=1, done=1000)
    store.contents.distribute(version(store, image, 2), ["dp1"], verb="redistribute")
    again = only(store, image)
    assert (again.version, again.attempt, again.state, again.served_version) == (2, 2, "wanted", 1)
    assert not store.contents.report(row, "failed", why="too late"), "it is about an order that is past"
    assert only(store, image) == again


def test_what_failed_is_due_after_a_while_and_what_is_served_is_validated_when_it_was_not_for_long(
    store: Store, image: str
) -> None:
    store.contents.distribute(version(store, image), ["dp1"])
    row, now = only(store, image), time.time()
    assert row.due(now)
    store.contents.report(row, "failed", why="no")
    failed = only(store, image)
    assert not failed.due(failed.changed_at + 1199)
    assert failed.due(failed.changed_at + 1200)
    store.contents.report(row, "served", served_version=1, validated_at=now)
    served = only(store, image)
    assert not served.due(now + 1e9)
    assert not served.unvalidated(now + 3599, 1)
    assert served.unvalidated(now + 3600, 1)
    assert not served.unvalidated(now + 1e9, 0), "no schedule"
    assert failed.due(now - 1e9), "a clock that was wrong holds nothing up"
    assert served.unvalidated(now - 1e9, 1)
    assert not served.unvalidated(now - 1e9, 0)
    store.contents.order_validation(image, ["dp1"])
    assert only(store, image).unvalidated(now, 0)


def test_a_group_gives_its_content_to_who_joins_and_takes_none_from_who_leaves(
    store: Store, image: str
) -> None:
    for name in ("dp2", "dp3"):
        store.dps.create(name)
    store.groups.create("north")
    store.groups.add("north", ["dp1"])
    assert store.contents.distribute(version(store, image), [], ["North"]) == ["dp1"]
    store.contents.distribute(version(store, image, 2), ["dp3"])
    store.groups.add("north", ["dp2", "dp3"])
    assert [(row.distribution_point, row.version, row.attempt) for row in store.contents.all()] == [
        ("dp1", 1, 1), ("dp2", 2, 1), ("dp3", 2, 1),
    ]  # fmt: skip
    store.groups.discard("north", ["dp1", "dp2"])
    assert store.contents.holders(image) == ["dp1", "dp2", "dp3"]
    assert store.contents.remove(image, ["dp1"], ["north"]) == ["dp1", "dp3"]
    store.groups.add("north", ["dp1"])
    assert store.contents.holders(image) == ["dp2"]


def test_orders_end_with_their_image_and_their_point(store: Store, image: str) -> None:
    store.dps.create("dp2")
    store.contents.distribute(version(store, image), ["dp1", "dp2"])
    store.dps.remove("dp2")
    assert store.contents.holders(image) == ["dp1"]
    store.boot_images.remove(image)
    assert store.contents.all() == []
    assert store.contents.versions() == {}


def test_an_order_for_nobody_known_is_refused(store: Store, image: str) -> None:
    one = version(store, image)
    with pytest.raises(NotFound, match="distribution point 'dp9'"):
        store.contents.distribute(one, ["dp9"])
    with pytest.raises(NotFound, match="group 'south'"):
        store.contents.distribute(one, [], ["south"])
    assert store.contents.all() == []


def test_an_image_is_ordered_away_by_an_order_and_not_by_the_lack_of_one(ready: Store) -> None:
    image = ready.boot_images.all()[0].id
    contents, now = ready.contents, time.time()
    assert contents.removals("dp1", {image: now, "PS1000FF": now}) == []
    contents.remove(image, ["dp1"])
    assert contents.removals("dp1", {image: now}) == [image]
    assert contents.removals("dp2", {image: now}) == []
    # Brought here long after that order: the database has lost the one by which it came.
    assert contents.removals("dp1", {image: now + 3600}) == []
    other = ready.boot_images.add("other", "x64", Path("/nowhere"), {"uefi": "grubx64.efi"}).id
    ready.boot_images.remove(other)
    assert contents.removals("dp2", {other: now}) == [other]
