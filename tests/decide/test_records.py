import json
import os
import subprocess
import sys
import uuid
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("ipxe", "door", "step"),
    [(False, "discover", 0), (False, "request", 1), (True, "discover", 2), (True, "request", 3)],
)
def test_the_stages_of_a_boot_are_counted_forward(world: Any, ipxe: bool, door: str, step: int) -> None:
    assert world.request(ipxe=ipxe, door=door).step == step


@pytest.mark.parametrize(
    "text",
    [
        "11223344-5566-7788-99AA-BBCCDDEEFF00",
        "{11223344-5566-7788-99aa-bbccddeeff00}",
        "112233445566778899aabbccddeeff00",
        " 11223344-5566-7788-99aa-bbccddeeff00 ",
    ],
)
def test_every_usual_spelling_of_a_guid_is_one_guid(decide: ModuleType, text: str) -> None:
    assert decide.normal_guid(text) == "11223344-5566-7788-99aa-bbccddeeff00"


@pytest.mark.parametrize(
    "text", ["", "11223344", "11223344-5566-7788-99aa-bbccddeeff0g", "1122334-45566-7788-99aa-bbccddeeff00"]
)
def test_anything_else_is_no_guid(decide: ModuleType, text: str) -> None:
    assert decide.normal_guid(text) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(guid=st.uuids())
def test_the_other_byte_order_is_that_of_smbios(decide: ModuleType, guid: uuid.UUID) -> None:
    from pxefast.decide.records import swapped_guid

    assert swapped_guid(str(guid)) == str(uuid.UUID(bytes_le=guid.bytes))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(max_size=20))
def test_no_text_breaks_the_readers(decide: ModuleType, text: str) -> None:
    mac = decide.normal_mac(text)
    assert mac is None or decide.normal_mac(mac) == mac
    guid = decide.normal_guid(text)
    assert guid is None or decide.normal_guid(guid) == guid


def test_the_compiled_records_have_the_fields_of_the_source_in_its_order(decide: ModuleType) -> None:
    from pxefast import decide as loaded

    records = [name for name, value in vars(decide).items() if is_dataclass(value)]
    assert len(records) == 11
    for name in records:
        names = [field.name for field in fields(getattr(loaded, name))]
        assert names == [field.name for field in fields(getattr(decide, name))]


def test_no_field_of_a_record_can_be_set(world: Any) -> None:
    for record in (world.request(), world.site(), world.ask()):
        with pytest.raises(AttributeError):
            setattr(record, fields(record)[0].name, None)


def test_the_package_says_whether_it_is_compiled_and_is_so_throughout() -> None:
    program = (
        "import json, sys; from pxefast import decide\n"
        "names = ['records', 'reasons', 'exclusion', 'identity', 'bootimage', 'deployment', 'decision']\n"
        "files = [sys.modules['pxefast.decide.' + name].__file__ for name in names]\n"
        "print(json.dumps([decide.compiled, files]))"
    )
    for pure in ("1", os.environ.get("PXEFAST_PURE", "0")):
        environment = {**os.environ, "PXEFAST_PURE": pure}
        result = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        compiled, files = json.loads(result.stdout)
        assert compiled == (pure != "1")
        assert all(file.endswith(".py") != compiled for file in files)
