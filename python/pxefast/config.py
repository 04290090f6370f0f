"""pxefast.toml in, frozen settings out, or ConfigError naming the file and the key.

Nothing later checks again.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from pxefast import named_files
from pxefast.errors import CannotOpen, ConfigError

__all__ = [
    "LONGEST_SESSION",
    "Content",
    "Database",
    "Dhcp",
    "Journal",
    "Listen",
    "Log",
    "Point",
    "Report",
    "Safety",
    "Session",
    "Settings",
    "Style",
    "Tftp",
    "default_text",
    "load",
    "parse",
]

# Longest `session.seconds`, in seconds.
LONGEST_SESSION = 86_400
# A settings file with every key is 8 KB.
_LARGEST_FILE = 1 << 20

Answer = Literal["microsoft", "direct"]
S3Option = Literal[
    "access_key_id",
    "endpoint",
    "region",
    "secret_access_key",
    "session_token",
    "skip_signature",
    "unsigned_payload",
    "virtual_hosted_style_request",
]
Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1, le=4_294_967_295)]
# Megabits a second, 0: no cap.
Rate = Annotated[int, Field(ge=0, le=1_000_000)]


def _address(value: object) -> IPv4Address:
    if not isinstance(value, str):
        raise ValueError("write an IPv4 address as a string")
    return IPv4Address(value)


def _address_or_none(value: object) -> IPv4Address | None:
    return None if value == "" else _address(value)


def _networks(value: object) -> tuple[IPv4Network, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError('write a list of IPv4 networks, such as ["10.0.0.0/8"]')
    return tuple(IPv4Network(item) for item in value)


def _rates(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError('write networks and megabits a second, such as { "10.1.0.0/16" = 200 }')
    return value


def _block_size(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value != 0 and not 512 <= value <= 65464:
        raise ValueError("use 0, or 512 to 65464 bytes")
    return value


def _content_source(value: object) -> object:
    if not isinstance(value, str) or not value:
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("file", "http", "https", "s3"):
        raise ValueError(
            "write a URL of file://, http://, https:// or s3://, or nothing for a folder in the home"
        )
    # What is not the path would be left out, and another folder be meant than was written.
    if parts.scheme == "file" and (value != f"file://{parts.path}" or not parts.path):
        raise ValueError(
            "write file:// and an absolute path, such as file:///srv/pxefast; ? and # as %3F and %23"
        )
    return value


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Listen(_Section):
    """Where every port is opened."""

    address: Annotated[IPv4Address, BeforeValidator(_address)] = IPv4Address("0.0.0.0")


class Style(_Section):
    """How each kind of client is answered (W-40, W-41)."""

    bios: Answer = "microsoft"
    uefi_x86: Answer = "microsoft"
    uefi_x64: Answer = "microsoft"
    uefi_arm64: Answer = "microsoft"
    ipxe: Answer = "microsoft"


class Dhcp(_Section):
    """The DHCP port, the boot server port, relays, and option 82 that no relay added (R-7, W-50).

    Limits count requests: of one client, and of all clients of one relay or interface (D15).
    """

    port: Port = 67
    boot_port: Port = 4011
    requests_per_second_per_client: Count = 50
    request_burst_per_client: Count = 100
    requests_per_second_per_network: Count = 2000
    request_burst_per_network: Count = 4000
    relays: Annotated[tuple[IPv4Network, ...], BeforeValidator(_networks)] = (IPv4Network("0.0.0.0/0"),)
    option82_without_giaddr: Literal["drop", "echo"] = "drop"
    style: Style = Style()

    def limits(self) -> dict[str, Any]:
        """The limits, by the names that they have in the native ServerSettings."""
        return {
            "questions_per_second_per_client": self.requests_per_second_per_client,
            "question_burst_per_client": self.request_burst_per_client,
            "questions_per_second_per_network": self.requests_per_second_per_network,
            "question_burst_per_network": self.request_burst_per_network,
        }


class Tftp(_Section):
    """How files are transferred, and the limits of it; default.toml says what each protects, and its counter.

    Block sizes in bytes, 0 = path MTU less 32; window in blocks (T4, T11, W-110).
    """

    port: Port = 69
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    max_block_size: Annotated[int, BeforeValidator(_block_size)] = 0
    max_block_size_windows: Annotated[int, BeforeValidator(_block_size)] = 16384
    max_window_size: Annotated[int, Field(ge=1, le=64)] = 64
    learn_windows: bool = True
    learned_window_min: Annotated[int, Field(ge=1, le=64)] = 4
    networks: Annotated[tuple[IPv4Network, ...], BeforeValidator(_networks)] = ()
    max_transfers: Annotated[int, Field(ge=1, le=65536)] = 4096
    max_transfers_per_client: Count = 8
    requests_per_second: Count = 5000
    requests_per_second_per_client: Count = 20
    request_burst_per_client: Count = 40
    queue: Annotated[int, Field(ge=0, le=65536)] = 4096
    queue_seconds: Annotated[int, Field(ge=1, le=300)] = 20
    max_mbit_per_second: Rate = 0
    max_mbit_per_second_per_transfer: Rate = 0
    max_mbit_per_second_of: Annotated[
        dict[Annotated[IPv4Network, BeforeValidator(IPv4Network)], Annotated[int, Field(ge=1, le=1_000_000)]],
        BeforeValidator(_rates),
    ] = {}
    retransmit_milliseconds: Annotated[int, Field(ge=50, le=5000)] = 500
    min_retransmit_milliseconds: Annotated[int, Field(ge=10, le=5000)] = 50
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 60

    @field_validator("min_retransmit_milliseconds")
    @classmethod
    def _no_longer_than_the_first(cls, value: int, others: ValidationInfo) -> int:
        first = others.data.get("retransmit_milliseconds", value)
        if value > first:
            raise ValueError(f"use at most retransmit_milliseconds, which is {first}")
        return value

    def limits(self) -> dict[str, Any]:
        """Everything that the native ServerSettings take of this, by the names that they have there."""
        same = (
            "workers",
            "max_block_size",
            "max_block_size_windows",
            "max_window_size",
            "max_transfers",
            "max_transfers_per_client",
            "requests_per_second",
            "requests_per_second_per_client",
            "request_burst_per_client",
            "queue",
            "queue_seconds",
            "retransmit_milliseconds",
            "min_retransmit_milliseconds",
        )
        narrowest_first = sorted(
            self.max_mbit_per_second_of.items(), key=lambda of: (-of[0].prefixlen, of[0])
        )
        return {
            **{name: getattr(self, name) for name in same},
            "tftp_port": self.port,
            "networks": [str(network) for network in self.networks],
            "kilobits_per_second": self.max_mbit_per_second * 1000,
            "kilobits_per_second_per_transfer": self.max_mbit_per_second_per_transfer * 1000,
            "kilobits_per_second_of": [(str(network), rate * 1000) for network, rate in narrowest_first],
        }


class Session(_Section):
    """How long a boot's stages belong together (F-42, F-43), and how long a launched one may be silent (G3).

    `expect_reports` False: a machine that was launched and never reports is nothing to look at.
    """

    seconds: Annotated[int, Field(ge=1, le=LONGEST_SESSION)] = 900
    started_seconds: Annotated[int, Field(ge=1, le=604800)] = 1800
    finished_seconds: Annotated[int, Field(ge=1, le=2592000)] = 86400
    expect_reports: bool = True


class Report(_Section):
    """Where boot environments say how they fare. `address` None: that of [listen].

    `names`: further names of this host that a request may be addressed to.
    """

    enabled: bool = True
    address: Annotated[IPv4Address | None, BeforeValidator(_address_or_none)] = None
    port: Port = 4012
    names: Annotated[tuple[str, ...], Field(strict=False)] = ()


class Safety(_Section):
    """The file that stops every required deployment while it exists (D8); "" is run/HALT in the home."""

    halt_file: str = ""


class Point(_Section):
    """Which distribution point of the database this is; "" is the only one."""

    name: str = ""


class Log(_Section):
    """What is logged, and for whom."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Database(_Section):
    """Where the site database is: "" is site.db in the home, else `postgresql://user@host/name`.

    `busy_seconds`: how long a change waits for another one. `serve_stale_available_seconds`: how long available
    deployments go on from the last snapshot once the database is gone; 0 is not at all (D10).
    """

    url: str = ""
    busy_seconds: Annotated[int, Field(ge=0, le=600)] = 5
    serve_stale_available_seconds: Annotated[int, Field(ge=0, le=900)] = 0


def _copy(value: object) -> object:
    if isinstance(value, str) and value and not value.startswith("/"):
        raise ValueError("write the absolute path of a folder outside the home, or nothing")
    return value


class Journal(_Section):
    """Where the journal's second copy is kept, outside of the home; "" is nowhere (D38)."""

    copy_: Annotated[str, BeforeValidator(_copy), Field(alias="copy")] = ""

    @property
    def folder(self) -> Path | None:
        """The folder of the copy."""
        return Path(self.copy_) if self.copy_ else None


class Content(_Section):
    """Where packaged boot images are, and how they are brought here from there.

    `source` "": the folder `source` in the home. `options` go to an S3 store by name; `ca_file` has
    certificates (PEM) to trust beside the system's. `timeout_seconds` is what a silent source gets; `validate_hours` 0:
    no schedule.
    """

    source: Annotated[str, BeforeValidator(_content_source)] = ""
    options: dict[S3Option, str] = {}
    ca_file: str = ""
    parallel: Annotated[int, Field(ge=1, le=32)] = 4
    timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 30
    validate_hours: Annotated[int, Field(ge=0, le=8760)] = 168


class Settings(_Section):
    """Everything in pxefast.toml."""

    listen: Listen = Listen()
    dhcp: Dhcp = Dhcp()
    tftp: Tftp = Tftp()
    session: Session = Session()
    report: Report = Report()
    safety: Safety = Safety()
    log: Log = Log()
    database: Database = Database()
    point: Point = Point()
    journal: Journal = Journal()
    content: Content = Content()


def default_text() -> str:
    """The commented default pxefast.toml that `pxefast init` writes."""
    return files("pxefast").joinpath("default.toml").read_text(encoding="utf-8")


def parse(text: str, file: str) -> Settings:
    """Settings from TOML text; `file` is named in errors. Raises ConfigError."""
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file, "", f"not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        if first["type"] == "extra_forbidden":
            why = "unknown key; `pxefast init` in an empty folder writes a pxefast.toml with every key"
        else:
            why = first["msg"].removeprefix("Value error, ")
        raise ConfigError(file, key, why) from None


def load(file: Path) -> Settings:
    """Settings from a file. Raises CannotOpen if it cannot be read, ConfigError if it is wrong."""
    try:
        text = named_files.read_bytes(file, _LARGEST_FILE).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(str(file), "", "not UTF-8 text") from None
    except OSError as error:
        raise CannotOpen(f"cannot read {file}: {error.strerror}; name another with --config") from None
    return parse(text, str(file))
