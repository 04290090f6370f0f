"""`pxefast import registry`: files as Windows writes them, what they come to, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pxefast.cli.registry_file import Value, read
from pxefast.errors import CannotOpen, InputError

V5 = "Windows Registry Editor Version 5.00"
KEY = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\SMS\DP"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a .reg file of a header and lines, as Windows does: CRLF, UTF-16 with a byte order mark."""

    def write(*lines: str, header: str = V5, key: str = KEY, encoding: str = "utf-16") -> Path:
        file = tmp_path / "dp.reg"
        file.write_bytes("\r\n".join([header, "", f"[{key}]", *lines, ""]).encode(encoding))
        return file

    return write


def values(file: Path) -> dict[str, Any]:
    return {value.name: value.data for value in read(file, lambda key: key.endswith("dp"))}


def in_hex(text: str, encoding: str = "utf-16-le") -> str:
    return ",".join(f"{byte:02x}" for byte in text.encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8", "utf-8-sig", "cp1252"])
def test_every_encoding_that_windows_writes_is_read(write: Write, encoding: str) -> None:
    file = write(r'"MACIgnoreListFile"="D:\\Ausschlüsse\\pxe.txt"', encoding=encoding)
    assert values(file) == {"MACIgnoreListFile": r"D:\Ausschlüsse\pxe.txt"}


def test_every_type_of_value_is_read(write: Write) -> None:
    long = in_hex("00:11:22:33:44:55\0").replace(",3a,", ",\\\r\n  3a,", 1)
    file = write(
        "; a remark",
        '"Number"=dword:0000000F',
        '"Text"="say \\"no\\""  ; a remark',
        f'"List"=hex(7):{long},{in_hex(chr(0) * 1)}',
        f'"Path"=hex(2):{in_hex("%windir%" + chr(0))}',
        '"Wide"=hex(b):01,00,00,00,00,00,00,00',
        '"Bytes"=hex:de,ad',
        '"Gone"=-',
        '@="default"',
    )
    assert values(file) == {
        "Number": 15,
        "Text": 'say "no"',
        "List": ("00:11:22:33:44:55",),
        "Path": "%windir%",
        "Wide": 1,
        "Bytes": b"\xde\xad",
        "Gone": None,
        "": "default",
    }


def test_a_list_of_an_old_file_is_in_ansi(write: Write) -> None:
    text = in_hex("00:11:22:33:44:55\0aa:bb:cc:dd:ee:ff\0\0", "cp1252")
    file = write(f'"BindExcept"=hex(7):{text}', header="REGEDIT4", encoding="cp1252")
    assert values(file) == {"BindExcept": ("00:11:22:33:44:55", "aa:bb:cc:dd:ee:ff")}


def test_a_value_says_its_key_and_the_line_that_it_begins_in(write: Write) -> None:
    file = write('"A"=hex:01,\\', "  02", '"B"=dword:1')
    assert list(read(file, lambda key: True)) == [Value(KEY, "A", b"\1\2", 4), Value(KEY, "B", 1, 6)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"IsPXE"=dword:zz', "line 4: {key}: IsPXE: 'dword:zz' is no dword"),
        ('"IsPXE"=hex(7):0x,1', "line 4: {key}: IsPXE: .* no list of bytes"),
        ('"IsPXE"=hex(4):01', "line 4: {key}: IsPXE: .* no list of bytes"),
        ('"IsPXE"=yes', "line 4: {key}: IsPXE: 'yes' is neither"),
        ('"IsPXE"="unclosed', "line 4: {key}: IsPXE: .*neither"),
        ("IsPXE=1", "line 4: {key}: 'IsPXE=1' is no value"),
        ("[HKLM", r"line 4: the key '\[HKLM' has no closing bracket"),
        (f"[-{KEY}]", "line 4: {key}: the file deletes the key"),
    ],
)
def test_an_error_names_file_line_and_key(write: Write, line: str, said: str) -> None:
    pattern = said.replace("{key}", KEY.replace("\\", r"\\"))
    with pytest.raises(InputError, match=rf"dp\.reg: {pattern}"):
        values(write(line))


@pytest.mark.parametrize("content", [b"", b"name,mac\n", b"\xff\xfe\x00", b"MZ\x90\x00\x03"])
def test_what_is_no_registry_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "dp.reg"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"dp\.reg: "):
        values(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="No such file"):
        values(tmp_path / "gone.reg")


ALL = (
    '"IsPXE"=dword:00000001',
    '"PxeInstalled"=dword:00000001',
    '"IsActive"=dword:00000001',
    '"SupportUnknownMachines"=dword:00000001',
    '"UdaSetting"=dword:00000002',
    '"BindPolicy"=dword:00000001',
    f'"BindExcept"=hex(7):{in_hex("00-11-22-33-44-55" + chr(0) + "AA:BB:CC:DD:EE:FF" + chr(0) * 2)}',
    '"ResponseDelay"=dword:00000004',
    '"RamDiskTFTPBlockSize"=dword:00002000',
    '"RamDiskTFTPWindowSize"=dword:00000008',
    '"DoNotListenOnDhcpPort"=dword:00000001',
    '"NumberOfThreads"=dword:00000001',
    '"CacheExpire"=dword:00000258',
    '"Server"="old.example"',
)


def test_every_registry_name_of_a_pxe_point_is_taken_over_or_named(
    run: Any, site: Path, write: Write
) -> None:
    result = run("import", "registry", str(write(*ALL)), "--json")
    assert result.code == 0, result.err
    told = result.json
    assert told["applied"] is True
    assert {change["registry"]: change["after"] for change in told["changes"]} == {
        "SupportUnknownMachines": True,
        "UdaSetting": "automatic",
        "BindPolicy": ["00:11:22:33:44:55", "aa:bb:cc:dd:ee:ff"],
        "ResponseDelay": 4,
        "RamDiskTFTPBlockSize": 8192,
        "RamDiskTFTPWindowSize": 8,
        "DoNotListenOnDhcpPort": False,
    }
    assert {item["registry"] for item in told["ignored"]} == {
        "PxeInstalled",
        "NumberOfThreads",
        "CacheExpire",
        "Server",
    }
    assert all(item["why"] and item["line"] for item in told["ignored"])
    now = run("dp", "show", "--json").json
    assert {change["setting"]: change["after"] for change in told["changes"]}.items() <= now.items()


@pytest.mark.parametrize(
    "key",
    [
        r"hkey_local_machine\software\microsoft\sms\dp",
        r"HKLM\SOFTWARE\Microsoft\SMS\DP",
        r"HKEY_LOCAL_MACHINE\SOFTWARE\Wow6432Node\Microsoft\SMS\DP",
    ],
)
def test_the_key_is_known_in_any_case_and_where_32_bit_programs_see_it(
    done: Any, run: Any, site: Path, write: Write, key: str
) -> None:
    done("import", "registry", str(write('"ResponseDelay"=dword:00000008', key=key)))
    assert run("dp", "show", "--json").json["response_delay"] == 8


def test_other_keys_of_an_export_are_passed_over(done: Any, site: Path, write: Write) -> None:
    text = write('"ResponseDelay"=dword:4', rf"[{KEY}\Sub]", '"ResponseDelay"=dword:zzz')
    assert "ResponseDelay" in done("import", "registry", str(text))


def test_a_value_that_the_file_deletes_has_its_default_again(
    done: Any, run: Any, site: Path, write: Write
) -> None:
    done("dp", "set", "--response-delay", "9")
    done("import", "registry", str(write('"ResponseDelay"=-')))
    assert run("dp", "show", "--json").json["response_delay"] == 0


def test_a_dry_run_says_what_would_change_and_changes_nothing(
    done: Any, run: Any, site: Path, write: Write
) -> None:
    before = run("dp", "show", "--json").json
    said = done("import", "registry", str(write(*ALL)), "--dry-run")
    assert said.startswith("would be changed:")
    assert "ResponseDelay" in said
    assert "ignored NumberOfThreads" in said
    assert run("dp", "show", "--json").json == before


def test_what_is_so_already_is_no_change(done: Any, site: Path, write: Write) -> None:
    assert done("import", "registry", str(write('"IsActive"=dword:1'))).startswith("nothing to change")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"IsPXE"=dword:00000002', "IsPXE: 2 must be 0 or 1"),
        ('"IsActive"="yes"', "IsActive: must be a dword"),
        ('"UdaSetting"=dword:7', "UdaSetting: "),
        ('"ResponseDelay"=dword:00011111', "ResponseDelay: response delay 69905 must be 0 to 65535 seconds"),
        (
            '"RamDiskTFTPBlockSize"=dword:1',
            "RamDiskTFTPBlockSize: RamDisk TFTP block size 1 must be 512 to 65464",
        ),
        ('"MACIgnoreListFile"=dword:1', "MACIgnoreListFile: must be a string"),
    ],
)
def test_a_value_that_no_setting_has_changes_nothing_and_is_named(
    run: Any, site: Path, write: Write, line: str, said: str
) -> None:
    before = run("dp", "show", "--json").json
    result = run("import", "registry", str(write('"SupportUnknownMachines"=dword:1', line)))
    assert (result.code, result.out) == (1, "")
    assert f"dp.reg: line 5: {KEY}: {said}" in result.err
    assert run("dp", "show", "--json").json == before


def test_interfaces_are_listed_ones_only_where_the_policy_says_so(
    done: Any, run: Any, site: Path, write: Write
) -> None:
    listed = f'"BindExcept"=hex(7):{in_hex("00:11:22:33:44:55" + chr(0) * 2)}'
    said = done("import", "registry", str(write(listed)))
    assert "ignored BindExcept" in said
    done("import", "registry", str(write('"BindPolicy"=dword:1', listed)))
    assert run("dp", "show", "--json").json["interfaces"] == ["00:11:22:33:44:55"]
    done("import", "registry", str(write('"BindPolicy"=dword:0', listed)))
    assert run("dp", "show", "--json").json["interfaces"] is None


def test_a_bind_policy_without_interfaces_answers_nobody_and_says_so(
    run: Any, site: Path, write: Write
) -> None:
    result = run("import", "registry", str(write('"BindPolicy"=dword:1')))
    assert "answers nobody (CM-12)" in result.err
    assert run("dp", "show", "--json").json["interfaces"] == []


LISTED = r'"MACIgnoreListFile"="D:\\pxeExceptions.txt"'


def test_an_exclusion_list_of_another_machine_is_never_forgotten(
    run: Any, site: Path, write: Write, tmp_path: Path
) -> None:
    file = str(write(LISTED))
    refused = run("import", "registry", file)
    assert refused.code == 1
    assert "--mac-ignore-list-file PATH" in refused.err
    here = tmp_path / "excluded.txt"
    here.write_text("01:23:45:67:89:ab\n")
    taken = run("import", "registry", file, "--mac-ignore-list-file", str(here))
    assert taken.code == 0, taken.err
    assert "excludes 1 MAC" in taken.err
    assert run("dp", "show", "--json").json["mac_ignore_list_file"] == str(here)


def test_an_exclusion_list_can_be_left_out_on_purpose(done: Any, run: Any, site: Path, write: Write) -> None:
    said = done("import", "registry", str(write(LISTED)), "--no-mac-ignore-list-file")
    assert "nobody is excluded by it" in said
    assert run("dp", "show", "--json").json["mac_ignore_list_file"] is None


def test_a_name_that_is_there_twice_with_two_values_is_refused(run: Any, site: Path, write: Write) -> None:
    other = r"[HKEY_LOCAL_MACHINE\SOFTWARE\Wow6432Node\Microsoft\SMS\DP]"
    result = run("import", "registry", str(write('"IsPXE"=dword:1', other, '"IsPXE"=dword:0')))
    assert result.code == 1
    assert "said otherwise in line 4" in result.err


def test_a_file_without_the_key_is_refused(run: Any, site: Path, write: Write) -> None:
    result = run(
        "import", "registry", str(write('"IsPXE"=dword:1', key=r"HKEY_LOCAL_MACHINE\SOFTWARE\Other"))
    )
    assert result.code == 1
    assert "export that key" in result.err
