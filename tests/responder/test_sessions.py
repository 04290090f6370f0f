"""What a session's files and options say, without a service."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pxefast.decide import Decision, Policy, Request, Site
from pxefast.decide.records import Device, DistributionPoint
from pxefast.responder import sessions
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


HOSTILE = {
    "Plain": "db-01.example.org:8080/a,b=c@d%2B",
    "Empty": "",
    "Blank": "two words",
    "Command": "$(touch CANARY)",
    "Ticks": "`touch CANARY`",
    "Next": "x; touch CANARY",
    "And": "x && touch CANARY #",
    "Quote": "it's; touch CANARY; echo '",
    "Quotes": "''\"'$(touch CANARY)'\"''",
    "End": "\\",
    "Backslash": "a\\'; touch CANARY; '",
    "Tilde": "~root:~",
    "Glob": "/*",
    "Dollar": "$HOME ${IFS} $((1+1))",
    "Unicode": "Kn\u00f6del \u2028 \u201c",
    "Control": "\x1b[2J\t\x07",
    "Redirect": "x > CANARY < CANARY | touch CANARY &",
    "History": "!! !x",
}


@pytest.mark.parametrize("shell", [["sh"], ["dash"], ["bash", "--posix"], ["bash"], ["busybox", "sh"]])
def test_a_shell_that_sources_session_env_gets_each_value_and_runs_none(
    tmp_path: Path, shell: list[str]
) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    text, left_out = sessions._variables({"PXEFAST_DEVICE": "a b;id"}, facts(**HOSTILE), sessions._quoted)
    assert left_out == ()
    (tmp_path / "session.env").write_bytes(text)
    values = {"PXEFAST_DEVICE": "a b;id", **HOSTILE}
    script = ". ./session.env; " + "; ".join(f'printf "%s\\000" "${name}"' for name in values)
    done = subprocess.run([*shell, "-c", script], cwd=tmp_path, capture_output=True, check=True, timeout=10)
    assert done.stdout.decode().split("\0")[:-1] == list(values.values())
    assert done.stderr == b""
    assert [file.name for file in tmp_path.iterdir()] == ["session.env"]


@pytest.mark.parametrize("name", ["a;id", "$(id)", "1st", "my-name", "`id`", "x'y", "\u00e9", "a\tb", "&"])
def test_a_name_that_no_shell_variable_can_have_is_left_out_and_said_to_be(name: str) -> None:
    text, (said,) = sessions._variables({}, facts(**{name: "x", "Role": "db"}), sessions._quoted)
    assert text == b"Role=db\n"
    assert "it is not a shell variable with a value of one line" in said


def test_a_value_without_special_characters_is_not_quoted_for_readers_that_know_no_quotes() -> None:
    url = "http://192.0.2.1:4012/session/00112233"
    text, _ = sessions._variables({"PXEFAST_REPORT_URL": url}, facts(Role="db 1"), sessions._quoted)
    assert text.decode() == f"PXEFAST_REPORT_URL={url}\nRole='db 1'\n"


def test_windows_pe_reads_values_as_they_are() -> None:
    text, _ = sessions._variables({}, facts(**{"my-role": "it's; $(x)"}), sessions._plain)
    assert text == b"my-role=it's; $(x)\n"


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
    request = replace(REQUEST, wds=True, loader_architecture=None)
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
