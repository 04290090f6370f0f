"""What a session's files and options say, without a service."""

from __future__ import annotations

from typing import Any

import pytest
from pxefast.decide import Decision, Policy, Request, Site
from pxefast.decide.records import Device, DistributionPoint
from pxefast.responder.sessions import ask_of, handout, new_stem, ramdisk, waiting
from pxefast.site.session_facts import Fact, SessionFacts

REQUEST = Request("02:00:00:00:00:01", None, 7, True, False, "request", 0, 1, "eth0", None, 0.0)


def facts(**variables: str) -> SessionFacts:
    told = {name: Fact(value, "variable of the device") for name, value in variables.items()}
    return SessionFacts(told, Fact(1456, "x"), Fact(4, "x"), Fact(True, "x"), ())


def decision(**more: Any) -> Decision:
    values = {"action": "boot", "reasons": (), "device": "pc1", "device_id": 1, "deployment": "PS120001",
              "boot_image": "PS100001", "firmware": "uefi", "launch_file": "boot.PS100001.wim",
              "kind": "windows-pe", **more}  # fmt: skip
    return Decision(**values)


def test_a_variable_that_is_no_line_or_pxefasts_own_is_left_out_and_said_to_be() -> None:
    told = facts(Role="a=b", Broken="one\ntwo", pxefast_token="forged")
    given = handout(decision(), REQUEST, None, Policy(), {"PXEFAST_TOKEN": "right"}, told, new_stem(1))
    assert len(given.files[-1][1]) == len("PXEFAST_TOKEN=right\nRole=a=b\n")
    assert [text.split()[1] for text in given.left_out] == ["'Broken'", "pxefast_token"]


def test_more_variables_than_a_session_may_hold_are_refused() -> None:
    told = facts(**{f"Name{number}": "x" * 8000 for number in range(9)})
    with pytest.raises(ValueError, match="65536"):
        handout(decision(), REQUEST, None, Policy(), {}, told, new_stem(1))


def test_the_store_names_the_images_own_files_and_is_one_for_all_who_are_told_the_same() -> None:
    store = ramdisk(decision(), facts(), Policy(windows_bcd_shape="minimal"))
    assert store.wim_path == r"\SMSImages\PS100001\boot.PS100001.wim"
    assert (store.sdi_path, store.font_path) == (r"\SMSBoot\PS100001\boot.sdi", r"\SMSBoot\PS100001\Fonts")
    assert (store.block_size, store.window_size, store.variable_window) == (1456, 4, True)
    assert (store.firmware, store.shape) == ("uefi", "minimal")
    one, other = (
        handout(decision(), REQUEST, None, Policy(), {}, facts(), new_stem(number)) for number in (1, 2)
    )
    assert one.files[0][0] != other.files[0][0]
    assert one.files[0][1] is other.files[0][1]


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("final", ["echo", "never", "always"])
def test_the_options_are_never_more_than_the_least_answer_holds(asks: bool, final: Any) -> None:
    policy = Policy(option_250_in_final_ack=final)
    request = Request(*[getattr(REQUEST, name) for name in REQUEST.__dataclass_fields__][:-2], wds=True)
    chosen = decision(action="prompt" if asks else "boot")
    options = handout(chosen, request, None, policy, {}, facts(), new_stem(9999)).options
    assert [code for code, _ in options] == sorted(code for code, _ in options), "W-9"
    assert sum(2 + len(value) for _, value in options) <= 200
    assert sum(2 + len(value) for _, value in waiting(chosen, request, policy)) <= 200


def test_neither_option_is_told_where_that_is_set() -> None:
    policy = Policy(option_243=False, option_252_nul=False)
    options = handout(decision(), REQUEST, None, policy, {}, facts(), new_stem(1)).options
    assert [(code, value[-4:]) for code, value in options] == [(252, b".bcd")]


def test_a_machine_without_a_record_reads_what_its_unknown_computer_object_is_told() -> None:
    stand_in = Device(902, "x64 Unknown Computer (PS1)", (), None, "PS1")
    site = Site(DistributionPoint("PS1"), unknown={"x64": stand_in})
    stranger = decision(device=None, device_id=50, architecture="x64")
    assert ask_of(stranger, site, "192.0.2.7", None).device_id == 902
    assert ask_of(decision(), site, None, "192.0.2.1")[:3] == (1, "PS120001", "PS100001")
    assert ask_of(decision(kind="files"), site, None, None).image_id is None
