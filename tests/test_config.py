import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from pxefast import config
from pxefast.errors import CannotOpen, ConfigError


def test_the_shipped_file_says_exactly_the_defaults() -> None:
    plain = config.default_text()
    assert config.parse(plain, "default.toml") == config.Settings()
    lines = (line.removeprefix("# ") if " = " in line else line for line in plain.splitlines())
    assert config.parse("\n".join(lines), "default.toml") == config.Settings()


def test_the_shipped_file_names_every_setting() -> None:
    lines = (
        line.removeprefix("# ") if " = " in line else line for line in config.default_text().splitlines()
    )
    said = config.parse("\n".join(lines), "default.toml")
    assert said.model_fields_set == set(config.Settings.model_fields)
    for name in config.Settings.model_fields:
        section = getattr(said, name)
        assert section.model_fields_set == set(type(section).model_fields), name
    assert said.dhcp.style.model_fields_set == set(config.Style.model_fields)


def test_what_is_set_is_what_counts() -> None:
    settings = config.parse(
        '[listen]\naddress = "127.0.0.1"\n[dhcp]\nport = 0\nrelays = ["10.0.0.0/8", "192.0.2.1"]\n'
        '[dhcp.style]\nuefi_x64 = "direct"\n[tftp]\nmax_block_size = 1468\n',
        "f",
    )
    assert settings.listen.address == IPv4Address("127.0.0.1")
    assert settings.dhcp.port == 0
    assert settings.dhcp.relays == (IPv4Network("10.0.0.0/8"), IPv4Network("192.0.2.1/32"))
    assert (settings.dhcp.style.uefi_x64, settings.dhcp.style.bios) == ("direct", "microsoft")
    assert settings.tftp.max_block_size == 1468


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("prot = 1", "prot"),
        ("[dhcp]\nprot = 67", "dhcp.prot"),
        ("[dhcp]\nport = 65536", "dhcp.port"),
        ("[dhcp]\nport = -1", "dhcp.port"),
        ('[dhcp]\nport = "67"', "dhcp.port"),
        ("[dhcp]\nport = true", "dhcp.port"),
        ("[dhcp]\nport = 67.0", "dhcp.port"),
        ('[dhcp]\nrelays = "10.0.0.0/8"', "dhcp.relays"),
        ('[dhcp]\nrelays = ["10.0.0.1/8"]', "dhcp.relays"),
        ("[dhcp]\nrelays = [10]", "dhcp.relays"),
        ('[dhcp]\noption82_without_giaddr = "maybe"', "dhcp.option82_without_giaddr"),
        ('[dhcp.style]\nbios = "Direct"', "dhcp.style.bios"),
        ("[dhcp]\nstyle = 1", "dhcp.style"),
        ("[tftp]\nmax_block_size = 511", "tftp.max_block_size"),
        ("[tftp]\nmax_block_size = 65465", "tftp.max_block_size"),
        ("[tftp]\nmax_block_size_windows = 511", "tftp.max_block_size_windows"),
        ("[tftp]\nmax_window_size = 0", "tftp.max_window_size"),
        ("[tftp]\nmax_window_size = 65", "tftp.max_window_size"),
        ("[tftp]\nretransmit_milliseconds = 49", "tftp.retransmit_milliseconds"),
        ("[tftp]\nworkers = 65", "tftp.workers"),
        ("[tftp]\nworkers = true", "tftp.workers"),
        ("[tftp]\nrequests_per_second = 0", "tftp.requests_per_second"),
        ("[tftp]\nqueue = -1", "tftp.queue"),
        ("[tftp]\nqueue_seconds = 0", "tftp.queue_seconds"),
        ("[tftp]\nmax_mbit_per_second = 0.5", "tftp.max_mbit_per_second"),
        ("[tftp]\nmax_mbit_per_second_per_transfer = -1", "tftp.max_mbit_per_second_per_transfer"),
        ("[tftp]\nmax_mbit_per_second_of = 100", "tftp.max_mbit_per_second_of"),
        ('[tftp]\nmax_mbit_per_second_of = { "rack 7" = 100 }', "tftp.max_mbit_per_second_of.rack 7"),
        ('[tftp]\nmax_mbit_per_second_of = { "10.0.0.1/8" = 100 }', "tftp.max_mbit_per_second_of.10.0.0.1/8"),
        ('[tftp]\nmax_mbit_per_second_of = { "10.0.0.0/8" = 0 }', "tftp.max_mbit_per_second_of.10.0.0.0/8"),
        ('[tftp]\nnetworks = ["10.0.0.1/8"]', "tftp.networks"),
        ("[tftp]\nlearned_window_min = 0", "tftp.learned_window_min"),
        ("[tftp]\nlearn_windows = 1", "tftp.learn_windows"),
        ("[tftp]\ndrain_seconds = 3601", "tftp.drain_seconds"),
        ("[tftp]\nmin_retransmit_milliseconds = 9", "tftp.min_retransmit_milliseconds"),
        ("[tftp]\nmin_retransmit_milliseconds = 501", "tftp.min_retransmit_milliseconds"),
        (
            "[tftp]\nretransmit_milliseconds = 100\nmin_retransmit_milliseconds = 200",
            "tftp.min_retransmit_milliseconds",
        ),
        ("[session]\nseconds = 0", "session.seconds"),
        ("[session]\nexpect_reports = 1", "session.expect_reports"),
        ('[report]\naddress = "here"', "report.address"),
        ("[report]\nport = 70000", "report.port"),
        ("[safety]\nhalt_file = 1", "safety.halt_file"),
        ("[database]\nserve_stale_available_seconds = 901", "database.serve_stale_available_seconds"),
        ("[database]\nurl = 1", "database.url"),
        ("[point]\nname = 1", "point.name"),
        ('[listen]\naddress = "localhost"', "listen.address"),
        ("[listen]\naddress = 1", "listen.address"),
        ('[log]\nlevel = "loud"', "log.level"),
        ("[database]\nbusy_seconds = -1", "database.busy_seconds"),
        ('[content]\nsource = "ftp://host/path"', "content.source"),
        ('[content]\nsource = "http://[bad"', "content.source"),
        ('[content]\nsource = "file://srv/pxefast"', "content.source"),
        ('[content]\nsource = "file:srv"', "content.source"),
        ('[content]\nsource = "file://"', "content.source"),
        ('[content]\nsource = "file:///srv/a?b"', "content.source"),
        ('[content]\nsource = "file:///srv/a#b"', "content.source"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_file_and_key(text: str, key: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.parse(text, "/etc/pxefast.toml")
    assert (error.value.file, error.value.key) == ("/etc/pxefast.toml", key)
    assert str(error.value).startswith(f"/etc/pxefast.toml: {key}: ")


def test_a_wrong_setting_is_refused_with_what_to_write() -> None:
    for text, words in (
        ("[tftp]\nmax_mbit_per_second_of = 100", 'such as { "10.1.0.0/16" = 200 }'),
        ("[tftp]\nmin_retransmit_milliseconds = 501", "at most retransmit_milliseconds, which is 500"),
        ("[tftp]\nworkers = 65", "less than or equal to 64"),
    ):
        with pytest.raises(ConfigError, match=re.escape(words)):
            config.parse(text, "f")


def test_text_that_is_no_toml_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^f: not valid TOML: .*line 2"):
        config.parse("[dhcp]\nport\n", "f")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config.Settings().dhcp.port = 1


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match=r"nothing\.toml"):
        config.load(tmp_path / "nothing.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        config.load(tmp_path / "latin.toml")


def test_the_cap_of_the_narrowest_network_comes_first_whatever_the_order_in_the_file() -> None:
    text = (
        '[tftp]\nmax_mbit_per_second_of = { "10.0.0.0/8" = 900, "10.1.2.0/24" = 50, "10.1.0.0/16" = 200 }\n'
    )
    assert config.parse(text, "f").tftp.limits()["kilobits_per_second_of"] == [
        ("10.1.2.0/24", 50_000),
        ("10.1.0.0/16", 200_000),
        ("10.0.0.0/8", 900_000),
    ]
