import time
from pathlib import Path

import pytest
from pxefast.errors import AlreadyExists, CannotOpen, Invalid, NotFound, SiteError
from pxefast.site import schema
from pxefast.site.devices import NewDevice
from pxefast.site.store import Store
from pxefast.site.watch import Watcher
from sqlalchemy import select

BUILT_IN = ["All Systems", "All Unknown Computers"]


def test_what_is_written_is_there_after_opening_again(tmp_path: Path) -> None:
    with Store.create(tmp_path / "site.db", "PS1") as store:
        store.devices.add(NewDevice("web01", ("00:11:22:33:44:55",)))
    with Store.open(tmp_path / "site.db") as store:
        assert store.code == "PS1"
        assert [device.name for device in store.devices.all()] == ["web01"]


def test_creating_over_a_database_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "site.db"
    Store.create(file, "PS1").close()
    before = file.read_bytes()
    with pytest.raises(AlreadyExists):
        Store.create(file, "ABC")
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["site.db"]


@pytest.mark.parametrize("code", ["", "PS", "ps1", "PS12", "P-1"])
def test_a_site_code_is_three_capitals_or_digits(tmp_path: Path, code: str) -> None:
    with pytest.raises(Invalid):
        Store.create(tmp_path / "site.db", code)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_database_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="pxefast init --site-code"):
        Store.open(tmp_path / "site.db")


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_a_file_that_is_no_site_database_cannot_be_opened(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "site.db"
    file.write_bytes(content)
    with pytest.raises(CannotOpen, match=r"site\.db"):
        Store.open(file)


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "50% of #7?"
    folder.mkdir()
    with Store.create(folder / "site.db", "PS1") as store:
        watcher = Watcher(store)
        store.collections.create("rack")
        assert watcher.changed()
        watcher.close()
    assert [path.name for path in folder.iterdir()] == ["site.db"]


def test_a_failed_change_leaves_nothing_behind(store: Store) -> None:
    watcher = Watcher(store)
    with pytest.raises(RuntimeError), store.write("test", "x") as connection:
        connection.execute(schema.collection.insert().values(id="PS100009", name="x", key="x", site="PS1"))
        raise RuntimeError
    assert [row.name for row in store.collections.all()] == BUILT_IN
    assert not watcher.changed()
    watcher.close()


def test_every_change_is_audited_with_who_and_what(store: Store) -> None:
    store.collections.create("rack")
    with store.read() as connection:
        row = connection.execute(select(schema.audit).order_by(schema.audit.c.seq.desc())).first()
    assert row is not None
    assert (row.action, row.subject) == ("collection create", "rack")
    assert row.actor


def test_reading_works_while_another_connection_writes(store: Store) -> None:
    store.collections.create("rack")
    with Store.open(store.address) as other, other.write("test", "x") as connection:
        connection.execute(schema.collection.insert().values(id="PS100009", name="x", key="x", site="PS1"))
        assert [row.name for row in store.collections.all()] == [*BUILT_IN, "rack"]
    assert [row.name for row in store.collections.all()] == [*BUILT_IN, "rack", "x"]


def test_a_busy_database_is_said_to_be_busy(store: Store) -> None:
    with (
        Store.open(store.address, busy_seconds=0) as other,
        store.write("test", "x"),
        pytest.raises(SiteError, match="busy"),
    ):
        other.collections.create("rack")


def noticed(watcher: Watcher, seconds: float = 10) -> bool:
    """Whether a change is noticed; news of PostgreSQL takes a moment."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if watcher.changed():
            return True
    return False


def test_the_watcher_sees_the_changes_of_others_once(store: Store) -> None:
    watcher = Watcher(store)
    assert not watcher.changed()
    with Store.open(store.address) as other:
        other.collections.create("rack")
    assert noticed(watcher)
    assert not watcher.changed()
    store.touch("content distribute", "PS100001")
    assert noticed(watcher)
    watcher.close()


def test_ids_are_the_site_code_and_count_up_in_hexadecimal(store: Store) -> None:
    ids = [store.collections.create(f"c{number}").id for number in range(17)]
    assert ids[0] == "PS100001"
    assert ids[9] == "PS10000A"
    assert ids[16] == "PS100011"


def test_objects_share_a_counter_and_deployments_have_their_own(store: Store) -> None:
    image = store.boot_images.add("linux", "x64", Path("/nowhere"), {"uefi": "a.efi"})
    sequence = store.task_sequences.create("install", image.id)
    collection = store.collections.create("rack")
    deployment = store.deployments.create(sequence.id, "rack", "required", "media-pxe")
    assert (image.id, sequence.id, collection.id) == ("PS100001", "PS100002", "PS100003")
    assert deployment.id == "PS120001"


def test_an_id_that_was_given_is_stepped_over(store: Store) -> None:
    store.collections.create("first", "PS100001")
    assert store.collections.create("second").id == "PS100002"


@pytest.mark.parametrize("wanted", ["PS1", "ps100001", "PS10000G", "PS1000011", "../00001"])
def test_an_id_of_another_form_is_refused(store: Store, wanted: str) -> None:
    with pytest.raises(Invalid):
        store.collections.create("rack", wanted)


def test_an_id_is_given_once(store: Store) -> None:
    store.collections.create("rack", "ABC12345")
    with pytest.raises(AlreadyExists):
        store.collections.create("other", "ABC12345")


def test_a_removed_deployments_id_is_not_given_again(ready: Store) -> None:
    ready.deployments.remove("PS120001")
    sequence = ready.task_sequences.all()[0]
    assert ready.deployments.create(sequence.id, "rack", "required", "media-pxe").id == "PS120002"


def test_something_unknown_is_not_found_with_the_nearest_names(ready: Store) -> None:
    with pytest.raises(NotFound, match="did you mean web01"):
        ready.devices.get("web1")
    with pytest.raises(NotFound, match="did you mean PS120001"):
        ready.deployments.get("PS120011")
    with pytest.raises(NotFound, match="pxefast collection list"):
        ready.collections.get("quite different")
