"""Which MAC addresses a GUID was seen with, and what that means for a claim (D28 to D31)."""

from __future__ import annotations

import pytest
from pxefast.decide.records import swapped_guid
from pxefast.errors import AlreadyExists, Invalid
from pxefast.site import schema
from pxefast.site import sightings as module
from pxefast.site.devices import NewDevice
from pxefast.site.ledger import Claim, Ledger
from pxefast.site.sightings import KEPT_SECONDS, REFRESH_SECONDS, Sighting
from pxefast.site.snapshot import load
from pxefast.site.store import Store
from sqlalchemy import event, select

from .ledger_case import DEPLOYMENT, NAME, NOW, code, launch, marked, one
from .ledger_case import claim as wish

GUID = "5c9e4b1c-0f6e-4b44-9a55-0d6a3e1b7c01"
OWN, CLONE, THIRD = "00:11:22:33:44:01", "02:00:00:00:00:bb", "02:00:00:00:00:0d"
PLACEHOLDER = "03000200-0400-0500-0006-000700080009"


@pytest.fixture
def known(ready: Store) -> Store:
    """web01 has GUID as well."""
    with ready.write("test", "guid") as connection:
        connection.execute(schema.device.update().where(schema.device.c.id == 1).values(guid=GUID))
    return ready


@pytest.fixture
def ledger(known: Store) -> Ledger:
    return Ledger(known, known.point)


def only_a_guid(store: Store) -> None:
    with store.write("test", "no MAC") as connection:
        connection.execute(schema.device_mac.delete().where(schema.device_mac.c.device_id == 1))


def see(store: Store, *macs: str, guid: str = GUID, at: float = NOW - 60) -> int:
    return store.sightings.note([Sighting(guid, mac, at) for mac in macs], NOW)


def rows(store: Store) -> dict[tuple[str, str], tuple[float, float]]:
    s = schema.sighting.c
    with store.read() as connection:
        query = select(s.guid, s.mac, s.first_at, s.last_at)
        return {(guid, mac): (first, last) for guid, mac, first, last in connection.execute(query)}


def writes(store: Store, *macs: str, at: float) -> int:
    """How many statements that write a call makes."""
    statements: list[str] = []

    def count(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    event.listen(store._place.engine, "before_cursor_execute", count)
    store.sightings.note([Sighting(GUID, mac, at) for mac in macs], at)
    event.remove(store._place.engine, "before_cursor_execute", count)
    return len([text for text in statements if text.startswith(("INSERT", "UPDATE", "DELETE"))])


# What is kept.


def test_a_pair_is_kept_once_whatever_the_byte_order_and_written_again_after_an_hour(known: Store) -> None:
    assert see(known, CLONE, at=NOW - 7200) == 1
    assert see(known, CLONE, guid=swapped_guid(GUID), at=NOW - 7200) == 0
    ((pair, times),) = rows(known).items()
    assert (pair[1], times) == (CLONE, (NOW - 7200, NOW - 7200))
    assert writes(known, CLONE, at=NOW - 7200 + REFRESH_SECONDS) == 0
    assert writes(known, CLONE, at=NOW) > 0
    assert list(rows(known).values()) == [(NOW - 7200, NOW)]


def test_sightings_of_ninety_days_ago_are_forgotten_and_do_not_count(known: Store) -> None:
    see(known, CLONE, at=NOW - KEPT_SECONDS + 1)
    see(known, OWN, at=NOW)
    assert [suspect.device for suspect in known.sightings.suspects(NOW)] == ["web01"]
    assert known.sightings.suspects(NOW + 10) == []
    known.sightings.note([], NOW + 10)
    assert [mac for _, mac in rows(known)] == [OWN]


def test_the_rows_are_bounded_for_each_guid_and_in_all(known: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert see(known, *(f"02:00:00:00:01:{number:02x}" for number in range(100))) == 16
    monkeypatch.setattr(module, "_MOST", 16)
    # A machine without a record is no longer kept, one with a record is.
    assert see(known, CLONE, guid="11112222-0f6e-4b44-9a55-0d6a3e1b7c01") == 0
    known.devices.add(NewDevice("web03", guid="11112222-0f6e-4b44-9a55-0d6a3e1b7c01"))
    assert see(known, CLONE, guid="11112222-0f6e-4b44-9a55-0d6a3e1b7c01") == 1


def test_a_sighting_makes_no_service_load_its_snapshot_anew(known: Store) -> None:
    before = known.revision()
    see(known, CLONE)
    assert known.revision() == before


# Who is suspect.


def test_a_guid_with_a_foreign_mac_is_suspect_until_the_mac_is_recorded(known: Store) -> None:
    see(known, OWN, at=NOW - 3600)
    assert known.sightings.suspects(NOW) == []
    see(known, CLONE)
    (suspect,) = known.sightings.suspects(NOW)
    assert (suspect.device, suspect.guid, suspect.macs) == ("web01", GUID, (OWN,))
    assert [(seen.mac, seen.recorded, seen.last_at) for seen in suspect.seen] == [
        (CLONE, False, NOW - 60),
        (OWN, True, NOW - 3600),
    ]
    known.devices.set("web01", add_macs=[CLONE.upper()])
    assert known.devices.get("web01").macs == (OWN, CLONE)
    assert known.sightings.suspects(NOW) == []


@pytest.mark.parametrize("identity", [f"mac:{CLONE}", f"guid:{GUID}", f"guid:{swapped_guid(GUID)}"])
def test_a_guid_is_not_suspect_where_one_of_the_pair_is_on_the_list_of_duplicates(
    known: Store, identity: str
) -> None:
    see(known, CLONE)
    known.duplicates.add(identity)
    assert known.sightings.suspects(NOW) == []


def test_a_device_with_a_guid_alone_is_suspect_with_the_second_mac(known: Store) -> None:
    only_a_guid(known)
    see(known, CLONE)
    assert known.sightings.suspects(NOW) == []
    see(known, THIRD)
    assert [suspect.device for suspect in known.sightings.suspects(NOW)] == ["web01"]


def test_the_snapshot_carries_what_makes_a_device_suspect_and_nothing_else(
    known: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)
    see(known, OWN)
    assert load(known, known.point, {}, 900).seen == {}
    see(known, CLONE, guid=swapped_guid(GUID))
    see(known, CLONE, guid="11112222-0f6e-4b44-9a55-0d6a3e1b7c01")
    assert load(known, known.point, {}, 900).seen == {1: {OWN: NOW - 60, CLONE: NOW - 60}}
    known.duplicates.add(f"mac:{CLONE}")
    assert load(known, known.point, {}, 900).seen == {}


# What stands when a claim commits.


def by_guid(mac: str = CLONE, peer: str = "10.0.0.9", **more: object) -> Claim:
    return wish(1, identities=(f"guid:{GUID}",), mac=mac, peer=peer, **more)  # type: ignore[arg-type]


def test_a_claim_by_the_guid_from_an_unrecorded_mac_is_refused_in_the_commit(ledger: Ledger) -> None:
    refused = one(ledger, by_guid())
    assert (refused.ok, code(refused), refused.reason.rule) == (False, "guid_conflict", "D29")
    assert one(ledger, wish(1)).ok


def test_a_claim_without_a_mac_is_refused_once_the_guid_was_seen_elsewhere(
    ledger: Ledger, known: Store
) -> None:
    see(known, CLONE)
    assert code(one(ledger, by_guid(""))) == "guid_conflict"
    known.duplicates.add(f"mac:{CLONE}")
    assert one(ledger, by_guid("")).ok


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [("allow", "claimed"), ("refuse", "guid_alone"), ("hold-on-conflict", "guid_conflict")],
)
def test_the_setting_that_stands_at_the_commit_counts(
    ledger: Ledger, known: Store, setting: str, wanted: str
) -> None:
    known.policy.set("guid_alone", setting)
    assert code(one(ledger, by_guid())) == wanted


def test_a_device_with_a_guid_alone_is_claimed_by_the_first_mac_and_held_with_the_second(
    ledger: Ledger, known: Store
) -> None:
    only_a_guid(known)
    assert one(ledger, by_guid()).ok
    see(known, CLONE, THIRD)
    # Which of the two machines the record means is not known: its launch is not completed either.
    assert code(launch(ledger, 1, peer="10.0.0.9")) == "guid_conflict"


def test_a_claim_by_the_recorded_mac_is_launched_whatever_was_seen(ledger: Ledger, known: Store) -> None:
    assert one(ledger, wish(1)).ok
    see(known, CLONE)
    assert launch(ledger, 1).launched


def test_a_live_claim_never_passes_to_another_mac_at_another_address(ledger: Ledger, known: Store) -> None:
    known.policy.set("guid_alone", "allow")
    first = one(ledger, wish(1))
    for step in (0, 1, 2, 3, 5):
        refused = one(ledger, by_guid(step=step, xid=8))
        assert (refused.ok, code(refused), refused.reason.rule) == (False, "other_session", "D28"), step
    assert code(launch(ledger, 1, peer="10.0.0.9")) == "no_session"
    assert launch(ledger, 1, session=marked(first).session).launched


def test_another_deployment_of_the_device_does_not_end_the_claim_of_another_machine(
    ledger: Ledger, known: Store
) -> None:
    known.policy.set("guid_alone", "allow")
    (sequence,) = known.task_sequences.all()
    second = known.deployments.create(sequence.id, "rack", "required", "media-pxe").id
    assert one(ledger, wish(1)).ok
    assert code(one(ledger, by_guid(deployment=second))) == "other_session"
    assert one(ledger, wish(1, deployment=second)).ok


def test_ipxe_with_another_mac_at_the_address_of_the_claim_goes_on(ledger: Ledger) -> None:
    first = one(ledger, wish(1))
    later = one(ledger, by_guid(peer="10.0.0.1", step=3, xid=9))
    assert (later.ok, code(later)) == (True, "same_session")
    assert marked(later).session == marked(first).session
    # The claim is still the recorded MAC address's: the other one cannot take it to another address.
    assert code(one(ledger, by_guid(peer="10.0.0.9", step=3, xid=10))) == "other_session"
    assert launch(ledger, 1).launched


def test_ipxe_with_another_mac_and_no_address_yet_goes_on_and_its_launch_is_bound_to_the_claims_address(
    ledger: Ledger,
) -> None:
    first = one(ledger, wish(1))
    offered = one(ledger, by_guid(step=2, xid=9)._replace(peer=None))
    assert (offered.ok, code(offered)) == (True, "same_session")
    assert code(one(ledger, by_guid(step=2, xid=8)._replace(peer=None))) == "other_session"
    assert code(launch(ledger, 1, session=marked(first).session, peer="10.0.0.9")) == "other_peer"
    assert launch(ledger, 1, session=marked(first).session).launched


def test_ipxe_with_another_recorded_mac_goes_on_where_no_stage_had_an_address(
    ledger: Ledger, known: Store
) -> None:
    known.devices.set("web01", add_macs=[THIRD])
    first = one(ledger, wish(1, step=0)._replace(peer=None))
    offered = one(ledger, by_guid(THIRD, step=2, xid=9)._replace(peer=None))
    assert offered.ok
    assert one(ledger, by_guid(THIRD, step=3, xid=9, peer="10.0.0.4")).ok
    assert launch(ledger, 1, session=marked(first).session, peer="10.0.0.4").launched


def test_a_claim_of_an_older_pxefast_without_a_mac_is_bound_to_its_address(
    ledger: Ledger, known: Store
) -> None:
    assert one(ledger, wish(1)).ok
    with known.write("test", "old row") as connection:
        connection.execute(schema.ledger.update().values(mac=None))
    assert code(one(ledger, wish(1, peer="10.0.0.9", xid=8))) == "other_session"
    assert one(ledger, wish(1, xid=8)).ok


@pytest.mark.parametrize("door", ["claim", "launch"])
def test_a_device_with_an_excluded_mac_is_refused_in_the_commit(
    ledger: Ledger, known: Store, door: str
) -> None:
    known.devices.set("web01", add_macs=[THIRD])
    assert one(ledger, wish(1)).ok
    excluded = frozenset({THIRD})
    if door == "claim":
        (result,), _ = ledger.commit([wish(1, xid=8)], [], excluded)
    else:
        from pxefast.site.ledger import Launch

        _, (result,) = ledger.commit([], [Launch(None, "10.0.0.1", NAME, "t1", NOW + 1)], excluded)
    assert (result.ok, code(result)) == (False, "excluded")
    assert THIRD in result.reason.text
    assert ledger.commit([wish(2)], [], excluded)[0][0].ok
    assert DEPLOYMENT


# Recording a network card.


def test_a_mac_of_another_device_is_not_added(known: Store) -> None:
    with pytest.raises(AlreadyExists, match="recorded for device web02"):
        known.devices.set("web01", add_macs=["00:11:22:33:44:02"])
    with pytest.raises(Invalid):
        known.devices.set("web01", add_macs=["ff:ff:ff:ff:ff:ff"])


def test_what_was_given_to_a_network_card_without_a_record_was_given_to_its_device(known: Store) -> None:
    with known.write("test", "an unknown machine") as connection:
        connection.execute(schema.hardware.insert().values(identity=f"mac:{CLONE}", device_id=50))
        connection.execute(
            schema.ledger.insert().values(
                device_id=50, deployment_id=DEPLOYMENT, generation=1, state="DONE", armed_at=1.0, returns=0
            )
        )
    known.devices.set("web01", add_macs=[CLONE])
    assert known.devices.states("web01") == {DEPLOYMENT: "HOLD"}


# Placeholders.


def test_an_operators_placeholder_counts_for_import_the_wire_and_pxefasts_own_machine(known: Store) -> None:
    known.dps.set_own([f"guid:{GUID}", f"mac:{THIRD}"])
    assert load(known, known.point, {}, 900).own == {GUID, swapped_guid(GUID), THIRD}
    known.policy.set("placeholder_guids", f"{{{GUID.upper()}}}, 4c4c4544-0043-3510-8052-b3c04f4b4e32")
    site = load(known, known.point, {}, 900)
    assert {GUID, swapped_guid(GUID)} <= site.placeholders
    assert site.own == {THIRD}
    with pytest.raises(Invalid, match="placeholder"):
        known.devices.add(NewDevice("web09", (CLONE,), swapped_guid(GUID)))
    known.policy.reset("placeholder_guids")
    assert load(known, known.point, {}, 900).placeholders == frozenset()


def test_a_list_of_placeholders_that_is_none_is_refused_with_what_is_wrong(known: Store) -> None:
    with pytest.raises(Invalid, match="'nonsense'"):
        known.policy.set("placeholder_guids", f"{GUID},nonsense")


def test_a_placeholder_that_was_recorded_as_pxefasts_own_refuses_nobody(ledger: Ledger, known: Store) -> None:
    known.dps.set_own([f"guid:{PLACEHOLDER}"])
    assert load(known, known.point, {}, 900).own == frozenset()
    claim = wish(1, identities=(f"mac:{OWN}", f"guid:{PLACEHOLDER}"))
    assert one(ledger, claim).ok
