"""Members are exactly what the rules say, after every change, compared with a reading of the rules device by device."""

import tempfile
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pxefast.errors import AlreadyExists, InUse, Invalid, NotFound
from pxefast.site.devices import NewDevice
from pxefast.site.rules import Query
from pxefast.site.store import Store

COLLECTIONS = ("a", "b", "c", "d")
NAMES = ("web1", "web2", "db1", "db_2", "dbx2", "x-1")
GUIDS = tuple(f"{number:08d}-0000-4000-8000-000000000000" for number in range(1, len(NAMES) + 1))
MACS = tuple(f"02:00:00:00:{number % 2:02d}:{number:02d}" for number in range(1, len(NAMES) + 1))


def member(store: Store, collection: str, device: Any) -> bool:
    """The definition of membership, one device and one rule at a time."""
    if collection == "All Systems":
        return True
    found, refused = False, False
    for kind, value in store.collections.rules(collection):
        if kind == "direct":
            found |= value == device.name
        elif kind == "query":
            found |= matches(store, Query.parse(value), device)
        elif kind == "include":
            found |= member(store, value, device)
        else:
            refused |= member(store, value, device)
    return found and not refused


def matches(store: Store, query: Query, device: Any) -> bool:
    attribute, value = query
    if attribute == "name":
        return fnmatchcase(device.name.lower(), value)
    if attribute == "mac":
        return any(mac.startswith(value) for mac in device.macs)
    if attribute == "smbios-guid":
        return device.guid == value
    if attribute == "site":
        return device.site == value
    key = attribute.removeprefix("variable:")
    return any(
        (item.name.lower(), item.value) == (key, value) for item in store.devices.variables.all(device.name)
    )


queries = st.one_of(
    st.sampled_from(["web*", "*", "db?2", "DB_2", "?-1", "nothing"]).map("name={}".format),
    st.sampled_from(["02", "02:00:00:00:00", "02-00-00-00-01-01", "0200000000", "03", "0"]).map(
        "mac={}".format
    ),
    st.sampled_from(GUIDS).map("smbios-guid={}".format),
    st.sampled_from(["PS1", "aaa"]).map("site={}".format),
    st.sampled_from(["variable:ROLE=db", "variable:role=", "variable:Role=web"]),
)
device = st.integers(0, len(NAMES) - 1)
collection = st.sampled_from(COLLECTIONS)
rule = st.one_of(
    st.tuples(st.sampled_from(["include", "exclude"]), st.sampled_from((*COLLECTIONS, "All Systems"))),
    st.tuples(st.just("query"), queries),
)


def add_device(store: Store, number: int) -> None:
    store.devices.add(NewDevice(NAMES[number], (MACS[number],), GUIDS[number]))


changes: st.SearchStrategy[Callable[[Store], object]] = st.one_of(
    device.map(lambda n: lambda store: add_device(store, n)),
    device.map(lambda n: lambda store: store.devices.remove(NAMES[n])),
    st.tuples(device, st.sampled_from(["PS1", "AAA"])).map(
        lambda v: lambda store: store.devices.set(NAMES[v[0]], site=v[1])
    ),
    st.tuples(device, device).map(
        lambda v: lambda store: store.devices.set(NAMES[v[0]], new_name=NAMES[v[1]])
    ),
    st.tuples(device, st.sampled_from(["db", "web", ""])).map(
        lambda v: lambda store: store.devices.variables.set(NAMES[v[0]], "Role", v[1])
    ),
    device.map(lambda n: lambda store: store.devices.variables.remove(NAMES[n], "ROLE")),
    st.tuples(collection, device).map(lambda v: lambda store: store.collections.add(v[0], [NAMES[v[1]]])),
    st.tuples(collection, device).map(lambda v: lambda store: store.collections.discard(v[0], [NAMES[v[1]]])),
    st.tuples(collection, rule).map(lambda v: lambda store: store.collections.add_rule(v[0], *v[1])),
    st.tuples(collection, rule).map(lambda v: lambda store: store.collections.remove_rule(v[0], *v[1])),
)


@given(st.lists(changes, min_size=5, max_size=25))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_members_are_what_the_rules_say_after_every_change(steps: list[Callable[[Store], object]]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.create(Path(folder) / "site.db", "PS1") as store,
    ):
        store.sites.create("AAA")
        for name in COLLECTIONS:
            store.collections.create(name)
        for number in range(0, len(NAMES), 2):
            add_device(store, number)
        for step in steps:
            try:
                step(store)
            except (AlreadyExists, Invalid, NotFound, InUse):
                continue
            for name in (*COLLECTIONS, "All Systems"):
                wanted = [item.name for item in store.devices.all() if member(store, name, item)]
                assert [item.name for item in store.collections.members(name)] == wanted


@pytest.fixture
def three(store: Store) -> Store:
    """Devices web1, web2, db1 and empty collections a, b, c, d."""
    for number in range(3):
        add_device(store, number)
    for name in COLLECTIONS:
        store.collections.create(name)
    return store


def members(store: Store, name: str) -> list[str]:
    return [item.name for item in store.collections.members(name)]


def test_an_excluded_device_stays_out_whatever_else_finds_it(three: Store) -> None:
    three.collections.add("a", ["web1"])
    three.collections.add("b", ["web1", "web2"])
    three.collections.add_rule("b", "query", "name=web*")
    three.collections.add_rule("b", "exclude", "a")
    assert members(three, "b") == ["web2"]


def test_a_change_reaches_collections_that_are_made_of_others(three: Store) -> None:
    three.collections.add_rule("a", "query", "name=web*")
    three.collections.add_rule("b", "include", "a")
    three.collections.add_rule("c", "include", "b")
    three.devices.set("db1", new_name="web9")
    assert members(three, "c") == ["web1", "web2", "web9"]
    three.devices.remove("web1")
    assert members(three, "c") == ["web2", "web9"]


@pytest.mark.parametrize("kind", ["include", "exclude"])
def test_a_collection_is_never_made_of_itself(three: Store, kind: Any) -> None:
    three.collections.add_rule("b", "include", "a")
    three.collections.add_rule("c", "exclude", "b")
    with pytest.raises(Invalid, match="itself"):
        three.collections.add_rule("a", kind, "a")
    with pytest.raises(Invalid, match="'a' is part of 'b' is part of 'c'"):
        three.collections.add_rule("a", kind, "c")
    assert three.collections.rules("a") == []


def test_a_collection_that_others_are_made_of_is_not_removed(three: Store) -> None:
    three.collections.add_rule("b", "exclude", "a")
    with pytest.raises(InUse, match="a rule of collection 'b'"):
        three.collections.remove("a")
    three.collections.remove_rule("b", "exclude", "a")
    three.collections.remove("a")


@pytest.mark.parametrize(
    "text",
    ["name", "name=", "name=w b", "name=[a]", "mac=zz", "mac=", "mac=00:11:22:33:44:55:66", "smbios-guid=1", "os=x",
     "variable:=1", "=x", "site=nope"],
)  # fmt: skip
def test_a_query_that_can_find_nothing_is_refused(three: Store, text: str) -> None:
    with pytest.raises((Invalid, NotFound)):
        three.collections.add_rule("a", "query", text)
    assert three.collections.rules("a") == []


def test_a_variable_of_the_longest_name_can_be_asked_for(three: Store) -> None:
    three.devices.variables.set("db1", "V" * 127, "x")
    assert three.collections.add_rule("a", "query", f"variable:{'v' * 127}=x").members == 1
    with pytest.raises(Invalid, match="127"):
        three.collections.add_rule("a", "query", f"variable:{'v' * 128}=x")


def test_a_rule_is_there_once_in_any_spelling(three: Store) -> None:
    three.collections.add_rule("a", "query", "MAC=0200.00")
    with pytest.raises(AlreadyExists):
        three.collections.add_rule("a", "query", "mac=02:00:00")
    three.collections.add_rule("a", "include", "B")
    with pytest.raises(AlreadyExists):
        three.collections.add_rule("a", "include", "b")
    with pytest.raises(NotFound, match="no rule exclude"):
        three.collections.remove_rule("a", "exclude", "b")


def test_the_built_in_collections_keep_themselves(three: Store) -> None:
    assert members(three, "All Systems") == ["db1", "web1", "web2"]
    unknown = ["arm64 Unknown Computer (PS1)", "x64 Unknown Computer (PS1)", "x86 Unknown Computer (PS1)"]
    assert members(three, "All Unknown Computers") == unknown
    for name in ("All Systems", "All Unknown Computers"):
        with pytest.raises(Invalid, match="built in"):
            three.collections.add_rule(name, "query", "name=*")


def test_unknown_computers_are_in_a_collection_by_name_alone(three: Store) -> None:
    three.collections.add_rule("a", "query", "site=PS1")
    assert members(three, "a") == ["db1", "web1", "web2"]
    three.collections.add("a", ["x64 unknown computer (PS1)"])
    assert members(three, "a") == ["db1", "web1", "web2", "x64 Unknown Computer (PS1)"]
    three.collections.add_rule("b", "include", "All Unknown Computers")
    assert len(members(three, "b")) == 3


def test_hundreds_of_devices_at_once_are_found_like_one(three: Store) -> None:
    three.collections.add_rule("a", "query", "name=rack*")
    three.collections.add_rule("b", "include", "a")
    many = [
        NewDevice(f"rack{number:04d}", (f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}",))
        for number in range(700)
    ]
    three.devices.add_many(many)
    assert three.collections.get("b").members == 700
    three.collections.add("c", [new.name for new in many])
    assert three.collections.get("c").members == 700
