import pytest
from pxefast.decide.records import Policy
from pxefast.errors import Invalid, NotFound
from pxefast.site import schema
from pxefast.site.policy import SitePolicy, read_policy
from pxefast.site.settings import SETTINGS
from pxefast.site.store import Store
from sqlalchemy import select


def policy(store: Store) -> SitePolicy:
    with store.read() as connection:
        return read_policy(connection)


def test_the_defaults_are_those_that_decisions_are_made_by(store: Store) -> None:
    assert policy(store) == SitePolicy(Policy())
    for setting in SETTINGS:
        there = policy(store).decision if hasattr(Policy(), setting.name) else policy(store)
        assert getattr(there, setting.name) == setting.default
        words = ("no", "yes")[setting.configmgr] if setting.values == () else str(setting.configmgr)
        assert setting.parse(words) == setting.configmgr


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("schedules", "enforce", "enforce"),
        ("Approve-New-Members", " NO ", False),
        ("armed_hours", "0", 0),
        ("confirm_above", "1000", 1000),
    ],
)
def test_a_setting_is_what_was_chosen_until_it_is_reset(
    store: Store, name: str, text: str, value: object
) -> None:
    row = store.policy.set(name, text)
    assert row.value == value
    chosen = {item.setting.name: item.value for item in store.policy.all()}
    assert chosen[row.setting.name] == value
    assert store.policy.reset(name).value == row.setting.default
    with store.read() as connection:
        assert connection.execute(select(schema.setting)).all() == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("schedules", "maybe"),
        ("armed_hours", "-1"),
        ("armed_hours", "1.5"),
        ("budget_seconds", "0"),
        ("required_for_unknown", "1"),
    ],
)
def test_what_a_setting_cannot_be_is_refused_and_says_what_it_can_be(
    store: Store, name: str, text: str
) -> None:
    with pytest.raises(Invalid, match=f"{name}.* must be"):
        store.policy.set(name, text)
    assert policy(store) == SitePolicy()


def test_a_setting_by_another_name_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="did you mean schedules"):
        store.policy.set("schedule", "enforce")
