"""The native core: the TFTP block pump and the DHCP packet parser.

Addresses are dotted IPv4 text, MAC addresses `aa:bb:cc:dd:ee:ff`, GUIDs lower-case 8-4-4-4-12, sizes bytes.
"""

from collections.abc import Sequence
from os import PathLike
from typing import Final, Literal, Self, final

__all__ = [
    "DhcpPacket",
    "Download",
    "Fields",
    "Gate",
    "Histogram",
    "Live",
    "Loader",
    "MemoryFile",
    "Refused",
    "Request",
    "Server",
    "ServerSettings",
    "TftpPacket",
    "Transfer",
    "Waiting",
    "WireError",
    "__version__",
    "build_profile",
    "capabilities",
    "classify_dhcp",
    "emit_dhcp_reply",
    "emit_tftp_ack",
    "emit_tftp_data",
    "emit_tftp_error",
    "emit_tftp_oack",
    "emit_tftp_request",
    "fold_name",
    "parse_dhcp",
    "parse_tftp",
]

__version__: Final[str]
build_profile: Final[str]
"""`release` or `debug`; a benchmark refuses anything but release."""

def capabilities() -> list[tuple[str, bool]]:
    """What the kernel offers: `udp_segment` (windows leave in one send), `openat2` (needed to serve files).

    Raises OSError when not even a UDP socket can be had.
    """

# server --------------------------------------------------------------------------------------------------

@final
class ServerSettings:
    """How a Server is set up. Ports may be 0 (any free one); `dhcp_port` (CM-30) and `boot_port` may be None.

    `workers` threads carry transfers; 0: half as many as there are cores, at most 8. `max_block_size` 0 is what the
    path's MTU carries whole; `max_block_size_windows` is what Windows boot managers may get beyond it, in bytes
    (W-110); 0: nothing.

    Where no place of `max_transfers` is free, or more than `requests_per_second` come from all clients together,
    requests wait, at most `queue` of them; who has not asked again for `queue_seconds` is forgotten.

    `kilobits_per_second` bounds what is sent to all clients, and by each transfer; `kilobits_per_second_of` what is
    sent to a network's clients together, the first network that holds a client counting; 0: no bound. Where `networks`
    is not empty, requests from elsewhere are dropped. Raises ValueError for what is no address or network.

    `questions_per_second_per_client` and `question_burst_per_client` bound what one client may ask at ports 67 and
    4011: one source address, or one hardware address where the source has none or is a relay. The limits `_per_network`
    bound all clients of one relay, and of one interface that have no address yet, at port 67 (D15).
    """

    def __new__(
        cls,
        *,
        address: str,
        dhcp_port: int | None,
        boot_port: int | None,
        tftp_port: int,
        accept_option82_without_giaddr: bool,
        workers: int,
        max_block_size: int,
        max_window_size: int,
        max_block_size_windows: int,
        max_transfers: int,
        max_transfers_per_client: int,
        requests_per_second: int,
        requests_per_second_per_client: int,
        request_burst_per_client: int,
        queue: int,
        queue_seconds: int,
        retransmit_milliseconds: int,
        min_retransmit_milliseconds: int,
        kilobits_per_second: int,
        kilobits_per_second_per_transfer: int,
        kilobits_per_second_of: Sequence[tuple[str, int]],
        networks: Sequence[str],
        questions_per_second_per_client: int = 50,
        question_burst_per_client: int = 100,
        questions_per_second_per_network: int = 2000,
        question_burst_per_network: int = 4000,
    ) -> ServerSettings: ...

@final
class Server:
    """Ports 67 and 4011, answered by the caller in batches, and TFTP, served by threads of its own.

    The process's limit of open files is raised as far as it may be; OSError (EMFILE) where it is too low then.

    `sockets` are descriptors of UDP sockets by door, `dhcp`, `boot` or `tftp`, that are listened on instead of ports of
    our own; they stay the caller's, and are the same sockets: who reads takes. Raises OSError, its text naming the
    address, when a port cannot be bound, ValueError for a socket of no use.
    """

    def __new__(cls, settings: ServerSettings, *, sockets: dict[str, int] | None = None) -> Server: ...
    @property
    def ports(self) -> dict[str, int]:
        """The bound port of `dhcp` and `boot` (where listened to) and `tftp`."""
    def sockets(self) -> dict[str, int]:
        """The descriptor of each door of `ports`; it stays the server's."""
    @property
    def offload(self) -> bool:
        """Whether windows leave by UDP_SEGMENT where a block fits the path."""
    @property
    def workers(self) -> int:
        """How many threads carry transfers."""
    @property
    def max_transfers(self) -> int:
        """How many transfers may run at once: as the settings say, or fewer where the limit of open files is too low.

        The last open files are kept for everything else: no transfer takes them.
        """
    @property
    def transferring(self) -> int:
        """How many transfers run."""
    def drain(self) -> None:
        """Read no request from now on, on any door; transfers go on.

        What comes waits in the sockets for who shares them.
        """
    def resume(self) -> None:
        """Read requests again, after `drain`."""
    def publish(self, root: str | PathLike[str], files: list[tuple[str, str, int, bool]]) -> None:
        """Serve exactly these files from now on; transfers under way keep theirs. Before the first no request is read.

        A file is (full name `SMSImages/<image>/<name>`, path below the folder `root`, size in bytes, gated). Opened
        at first use, without following links (T6, T7). The window with a gated file's final byte leaves only after
        `open` (B2). Also served as `SMSImages/<image>/<session>/<name>`, the session being 32 hexadecimal digits.
        Raises OSError for the root, ValueError for a name.
        """
    def publish_folder(self, root: str | PathLike[str], files: list[tuple[str, str]]) -> None:
        """Serve exactly these files of anybody's folder from now on; transfers under way keep theirs.

        A file is (name, path below the folder `root`). Names mean themselves, whoever asks. Each request opens what is
        there then, without following links, whatever its size; mount points below the root are crossed. The last
        bytes of a file that was written to since its request are never sent (R-37, R-39); nor are `publish`'s.
        Raises OSError for the root, ValueError for a name.
        """
    def wait(self, milliseconds: int) -> list[Request]:
        """The next batch of questions; empty after the time, `wake` or a signal, and when `gates` has news.

        At most 256 of port 4011 first, and then 32 of port 67, so that no flood there delays a machine that boots.
        Releases the GIL. What is malformed, not PXE or not for this server was dropped and counted before. Raises
        OSError.
        """
    def answer(
        self,
        request: Request,
        boot_file: str = "",
        *,
        image: str | None = None,
        files: Sequence[tuple[str, MemoryFile]] = (),
        options: Sequence[tuple[int, bytes]] = (),
        block_size: int = 0,
        window_size: int = 0,
    ) -> str | None:
        """Answer a question with an OFFER or an ACK; `boot_file` is the boot program's full name, at most 127 bytes.

        An OFFER without one sends the client to port 4011 (W-40). `options` are 243, 250 and 252, each once, 1 to 255
        bytes, written as they are (W-57..W-61), ascending, before option 82 (W-9).

        From an ACK on, the client's address sees the folder `SMSImages/<image>` as its TFTP root, and until `forget`,
        its next ACK or an hour of disuse the session's `files`: those names, full or below the root, are its own and
        come before all others. With `block_size`, the RamDisk's of that session, it is granted blocks up to that size
        beyond its path's MTU, in bytes; with `window_size` windows of at most so many blocks, also when the session is
        over, until it is shown something else (who may vary it does so all the same, W-107). After an OFFER whose boot
        file's name holds a session (`SMSImages/<image>/<session>/..`, `SMSBoot/<image>/<session>/..`) all this is for
        the address that the machine then takes from its DHCP server, as its REQUEST on port 67 says; who asks with that
        session from elsewhere, or before that, gets everything but `files`. An ACK without `image` ends the session
        before it; the root stays.

        Returns where it went, `address:port`, or None if it did not leave. Raises ValueError, and sends nothing, for a
        boot file or options that do not fit, for other options, and for a name that no client could ask for. Options
        97, 61 and 43, then 82 as a whole, make room for Windows': 287 bytes, code and length included, fit any client
        (W-8, W-50).
        """
    @property
    def empty(self) -> float:
        """When ports 67 and 4011 were both last known to be empty: seconds of CLOCK_BOOTTIME.

        0 where a socket was given, until it was found empty: what waited in it may be of any age.
        """
    def emptied(self, seconds: float) -> None:
        """Both ports were empty at this time, as the process that read them before knows."""
    def set_recorded_machines(self, macs: bytes) -> None:
        """Replace the MAC addresses, six bytes each, of the machines that the site has a record of.

        At port 67 recorded machines have a share of their own beside their network's limit, of the same size (T12).
        """
    def leave(self) -> bytes:
        """What every address and session is shown, and the requests that wait, for the `adopt` of another process.

        Those wait here no longer. After `drain`, nothing is added to it any more. Raises RuntimeError.
        """
    def adopt(self, estate: bytes) -> None:
        """Show what another process showed, for as long as it would have, and let wait who waited there.

        Raises ValueError for other bytes.
        """
    def forget(self, address: str) -> None:
        """End what `address` was shown: its root and its session's files. Transfers under way keep theirs.

        Raises ValueError for what is no address.
        """
    def gates(self) -> list[Gate]:
        """The transfers of gated files that came to the final byte since the last call and still wait.

        Each waits for `open` or `refuse` for 10 seconds, then it ends `unanswered`; each asks once.
        """
    def open(self, gate: Gate) -> None:
        """Let the final byte leave, by this transfer alone, once its launch is recorded (B2, I3).

        Nothing happens if the transfer has ended meanwhile, or does not wait any more.
        """
    def refuse(self, gate: Gate, text: str) -> None:
        """End the transfer with ERROR 2 and `text`, of which the client is told the first 255 bytes."""
    def transfers(self) -> list[Transfer]:
        """The transfers that ended since the last call; at most the newest 4096."""
    def live(self) -> list[Live]:
        """The transfers that run now, read without disturbing them; a worker that is silent for a second is left out.

        Releases the GIL.
        """
    def waiting(self) -> list[Waiting]:
        """The requests that wait for a place or their turn, the oldest first. Releases the GIL."""
    def refused(self) -> list[Refused]:
        """The requests that were answered with an error since the last call: the first 64 of them.

        `tftp.refusals_lost` counts the others.
        """
    def counters(self) -> dict[str, int]:
        """Every counter by its dotted name, such as `dhcp.dropped.not_pxe`."""
    def histograms(self) -> dict[str, Histogram]:
        """What ended transfers measured, by dotted names such as `tftp.bytes_per_second`."""
    def wake(self) -> None:
        """End a `wait` from another thread."""
    def stop(self) -> None:
        """End the TFTP threads and their transfers, also those that wait at a gate.

        Raises what ended it before, if something did.
        """

@final
class MemoryFile:
    """A session's file: bytes that are on no disk and never change, shared by all sessions that are given it.

    Raises ValueError for more than 65536 bytes.
    """

    def __new__(cls, data: bytes) -> MemoryFile: ...
    def __len__(self) -> int: ...

@final
class Request:
    """One PXE client's question, with all that its answer needs."""

    def fields(self) -> Fields:
        """What the packet says, read once."""
    @property
    def interface(self) -> str:
        """The name of the interface that it came in by; "" when it is gone."""
    @property
    def heard(self) -> float:
        """The earliest time at which it can have come: seconds of CLOCK_BOOTTIME (R-72).

        It is the kernel's own time of receipt. Where the wall clock was set meanwhile, or a socket was given that may
        not have stamped it, it is the time at which the port was last known to be empty.
        """
    @property
    def destination(self) -> str | None:
        """Where its answer goes (W-11, W-12); None where no honest client or relay could be (R-14)."""
    @property
    def relay_agent(self) -> bytes | None:
        """Option 82 as it came (RFC 3046)."""
    @property
    def packet(self) -> bytes:
        """The packet itself."""

@final
class Fields:
    """A question's fields."""

    @property
    def mac(self) -> str:
        """The MAC address; "" where the packet has none (W-3)."""
    @property
    def guid(self) -> str | None:
        """The SMBIOS GUID of option 97, decoded (W-30); None for none, all 0 or all F."""
    @property
    def architecture(self) -> int | None:
        """The first architecture of option 93, else that in option 60 (W-19)."""
    @property
    def ipxe(self) -> bool:
        """Whether iPXE asks (W-47)."""
    @property
    def loader(self) -> Loader | None:
        """What wdsnbp or wdsmgfw says in option 250 (W-61); None without one, or where it is malformed (counted)."""
    @property
    def door(self) -> Literal["discover", "request"]:
        """Whether an OFFER or an ACK answers it."""
    @property
    def secs(self) -> int:
        """The client's seconds since it began to ask."""
    @property
    def xid(self) -> int:
        """The transaction id."""
    @property
    def giaddr(self) -> str | None:
        """The relay's address."""
    @property
    def ciaddr(self) -> str | None:
        """The client's own address."""
    @property
    def source(self) -> str:
        """`address:port` that it came from."""
    @property
    def server(self) -> str:
        """Our address that it came to: the answer's source and server identifier."""

@final
class Loader:
    """What a Windows loader, wdsnbp or wdsmgfw, says of itself (W-61..W-66); None for what it does not say."""

    @property
    def architecture(self) -> int | None:
        """The processor's architecture, numbered as in option 93 (W-63)."""
    @property
    def prompt_done(self) -> bool | None:
        """Whether its key prompt is behind it."""
    @property
    def action_done(self) -> bool | None:
        """Whether it did what the answer before told it."""
    @property
    def version(self) -> int | None:
        """The loader's version, such as 0x0800."""
    @property
    def request_id(self) -> int | None:
        """The number of the pending request that it polls for."""

@final
class Gate:
    """A transfer that waits before the window with its file's final byte (B2)."""

    @property
    def name(self) -> str:
        """The published file's full name, without a session."""
    @property
    def peer(self) -> str:
        """`address:port` of the client."""
    @property
    def address(self) -> str:
        """The client's address."""
    @property
    def session(self) -> str | None:
        """The session in a name that this address asked for, of the same image, since its last ACK: 32 lower-case
        hexadecimal digits. A client can ask for any: it is a hint where to look, not a proof."""
    @property
    def transfer(self) -> str:
        """The transfer's id, 32 hexadecimal digits; no other transfer ever has it, after a restart neither (I3)."""

@final
class Histogram:
    """How many values fell under each of a row of bounds. Its numbers are not of one moment: each may lag a little."""

    @property
    def bounds(self) -> list[float]:
        """Upper bounds, inclusive, rising."""
    @property
    def counts(self) -> list[int]:
        """How many values, a number a bound, and a last one for what is above all of them."""
    @property
    def sum(self) -> float:
        """The sum of all values."""

@final
class Transfer:
    """One ended TFTP transfer."""

    @property
    def name(self) -> str:
        """The published file's full name."""
    @property
    def size(self) -> int:
        """Its size in bytes."""
    @property
    def peer(self) -> str:
        """`address:port` of the client."""
    @property
    def outcome(self) -> str:
        """complete, unconfirmed, size_probe, aborted, timed_out, refused, failed, displaced, denied or unanswered."""
    @property
    def gated(self) -> bool:
        """Whether its file was published as gated."""
    @property
    def bytes(self) -> int:
        """Bytes that the client acknowledged."""
    @property
    def block_size(self) -> int:
        """Bytes in a block."""
    @property
    def window_size(self) -> int:
        """Blocks in a window; in the largest that was sent where the client varied it."""
    @property
    def variable_window(self) -> bool:
        """Whether the client was allowed to vary the window (`msftwindow`, W-107)."""
    @property
    def resent(self) -> int:
        """Blocks sent more than once."""
    @property
    def seconds(self) -> float:
        """From its request to its end."""
    @property
    def window_granted(self) -> int:
        """Blocks in a window, as granted."""
    @property
    def windows(self) -> int:
        """Acknowledgments that moved it on: one a window, where nothing is lost."""
    @property
    def gap_windows(self) -> int:
        """Windows of which the client told that a block is missing."""
    @property
    def gap_at(self) -> int:
        """The fewest blocks of such a window that arrived before the gap; 0: no block ever arrived before one."""
    @property
    def gap_blocks(self) -> int:
        """The blocks that arrived before the gaps of such windows, all together."""
    @property
    def timeouts(self) -> int:
        """Times that the client was silent until the timer had to speak."""
    @property
    def rewinds(self) -> int:
        """Windows begun again since the client told of a gap."""
    @property
    def round_trip(self) -> float | None:
        """The smoothed round trip in seconds; None where none was measured."""
    @property
    def first_block(self) -> float | None:
        """From the request to the departure of the first block, in seconds; None where none left."""
    @property
    def waited_server(self) -> float:
        """Seconds in which blocks could have left but for this server: a cap, a full socket, a closed gate."""
    @property
    def waited_network(self) -> float:
        """Seconds in which packets were on their way, or lost."""
    @property
    def waited_client(self) -> float:
        """The other seconds: the client's."""
    @property
    def slow_side(self) -> Literal["server", "network", "client"] | None:
        """Who it waited for most, as far as that can be told; None where the client acknowledged no byte."""

@final
class Live:
    """A transfer under way, as it was when it was looked at."""

    @property
    def name(self) -> str:
        """The published file's full name."""
    @property
    def peer(self) -> str:
        """`address:port` of the client."""
    @property
    def size(self) -> int:
        """The file's size in bytes."""
    @property
    def bytes(self) -> int:
        """Bytes that the client acknowledged."""
    @property
    def block_size(self) -> int:
        """Bytes in a block."""
    @property
    def window_size(self) -> int:
        """Blocks in a window, as granted."""
    @property
    def resent(self) -> int:
        """Blocks sent more than once."""
    @property
    def seconds(self) -> float:
        """Since its request."""
    @property
    def state(self) -> Literal["offered", "flowing", "asking", "held"]:
        """Options are offered, blocks flow, a gate is asked for, or a cap or a full socket holds its blocks."""
    @property
    def round_trip(self) -> float | None:
        """The smoothed round trip in seconds; None while none was measured."""
    @property
    def worker(self) -> int:
        """The worker that it runs in, from 0 on."""

@final
class Waiting:
    """A request that waits for a place or its turn."""

    @property
    def peer(self) -> str:
        """`address:port` of the client."""
    @property
    def name(self) -> str:
        """What it asked for; bytes that are no UTF-8 are replaced."""
    @property
    def seconds(self) -> float:
        """Since it asked first."""

@final
class Refused:
    """A request that was answered with an error."""

    @property
    def peer(self) -> str:
        """`address:port` of the client."""
    @property
    def name(self) -> str:
        """What it asked for; bytes that are no UTF-8 are replaced."""
    @property
    def reason(self) -> str:
        """Why: the last word of its counter, `tftp.refused.<reason>`."""

# client --------------------------------------------------------------------------------------------------

@final
class Download:
    """A TFTP client's download, for the demo, tests and benches (RFC 1350, 2347, 7440).

    `variable_window` asks for `msftwindow` and then doubles the window up to 64 blocks, or halves it after a loss
    (W-107). `keep` False drops the bytes once received. Raises ValueError for an address, OSError for the socket or a
    name.
    """

    def __new__(
        cls,
        server: str,
        port: int,
        name: str,
        *,
        block_size: int = 1468,
        window_size: int = 16,
        variable_window: bool = False,
        local: str = "0.0.0.0",
        keep: bool = True,
    ) -> Download: ...
    def run(self, seconds: float) -> bool:
        """Go on for at most so long; True once the file is whole. Releases the GIL.

        Raises OSError saying what the server refused, or that it is silent.
        """
    @property
    def received(self) -> int:
        """Bytes received in order."""
    @property
    def size(self) -> int | None:
        """The size that the server told, in bytes (RFC 2349)."""
    @property
    def data(self) -> bytes:
        """What was received, unless `keep` was False."""

# packets -------------------------------------------------------------------------------------------------

@final
class WireError(ValueError):
    """Bytes are not a packet or not a name, or values cannot become a packet.

    Its text is ``"<what> at byte <offset>"``.
    """

    def __new__(cls, what: str, offset: int) -> Self: ...
    @property
    def what(self) -> str:
        """What is wrong, in snake_case; the name that counters use too."""
    @property
    def offset(self) -> int:
        """Where it was noticed, in bytes from the packet's start; 0 for a name, which is refused as a whole."""

@final
class DhcpPacket:
    """A BOOTP/DHCP packet with what it says of PXE (RFC 951, 2131, 2132, 3046, 3396, 4578; PXE 2.1).

    A PXE option that is malformed reads as absent; its bytes are in `options` all the same.
    """

    @property
    def op(self) -> int:
        """1 from a client, 2 from a server."""
    @property
    def message_type(self) -> int:
        """The DHCP message type (option 53)."""
    @property
    def htype(self) -> int:
        """The hardware type; 1 is Ethernet."""
    @property
    def hlen(self) -> int:
        """The length of the hardware address in bytes, 0 to 16."""
    @property
    def hops(self) -> int:
        """How many relays it passed."""
    @property
    def xid(self) -> int:
        """The transaction identifier."""
    @property
    def secs(self) -> int:
        """Seconds since the client began, as it says."""
    @property
    def flags(self) -> int:
        """The flags; 0x8000 asks for a broadcast answer."""
    @property
    def ciaddr(self) -> str:
        """The address that the client has, as a dotted quad."""
    @property
    def yiaddr(self) -> str:
        """The address that a server gives, as a dotted quad."""
    @property
    def siaddr(self) -> str:
        """The TFTP server's address, as a dotted quad."""
    @property
    def giaddr(self) -> str:
        """The relay's address, as a dotted quad."""
    @property
    def chaddr(self) -> bytes:
        """The field of the hardware address, 16 bytes."""
    @property
    def mac(self) -> str | None:
        """The Ethernet address ``aa:bb:cc:dd:ee:ff``; from option 61 where `chaddr` holds a GUID (W-3)."""
    @property
    def sname(self) -> bytes:
        """The server's name up to its NUL; empty when the field holds options."""
    @property
    def file(self) -> bytes:
        """The boot file's name up to its NUL; empty when the field holds options."""
    @property
    def options(self) -> list[tuple[int, bytes]]:
        """Every option once, in the order of first appearance, split ones joined (RFC 3396)."""
    @property
    def pxe_class(self) -> Literal["pxe", "http"] | None:
        """How the client wants to boot, by the beginning of option 60."""
    @property
    def architecture(self) -> int | None:
        """The environment that runs: the first of option 93, or what option 60 says when there is no 93 (W-19)."""
    @property
    def architectures(self) -> list[int]:
        """Option 93, in the client's order."""
    @property
    def undi(self) -> tuple[int, int, int] | None:
        """The network interface (option 94): type, major and minor version."""
    @property
    def guid(self) -> str | None:
        """The SMBIOS GUID of option 97, lower case 8-4-4-4-12; None also when it is all 0 or all F (W-30)."""
    @property
    def ipxe(self) -> bool:
        """Is the client iPXE (options 77 and 175)?"""
    @property
    def loader(self) -> Loader | None:
        """What wdsnbp or wdsmgfw says in option 250 (W-61); None also where it is malformed."""
    @property
    def boot_item(self) -> tuple[int, int] | None:
        """Boot server type and layer that the client asks for (option 43.71)."""
    @property
    def vendor(self) -> list[tuple[int, bytes]]:
        """The sub-options of option 43, in order."""
    @property
    def relay_agent(self) -> bytes | None:
        """Option 82, whole and unread (RFC 3046)."""

@final
class TftpPacket:
    """A TFTP packet (RFC 1350, 2347). What its opcode does not have is None, or no options."""

    @property
    def opcode(self) -> Literal["rrq", "wrq", "data", "ack", "error", "oack"]:
        """What it is, by the RFC's abbreviation."""
    @property
    def filename(self) -> bytes | None:
        """The name as sent (rrq, wrq)."""
    @property
    def mode(self) -> Literal["octet", "netascii", "mail", "other"] | None:
        """How the client wants its bytes (rrq, wrq)."""
    @property
    def options(self) -> list[tuple[bytes, bytes]]:
        """Name and value as sent, in order, each name once, at most 16 (rrq, wrq, oack)."""
    @property
    def block(self) -> int | None:
        """The block number, 0 to 65535 (data, ack)."""
    @property
    def payload(self) -> bytes | None:
        """The block's bytes (data)."""
    @property
    def next_window(self) -> int | None:
        """How many blocks a client with ``msftwindow`` wants next (ack of five bytes; W-107)."""
    @property
    def code(self) -> int | None:
        """The error code (error)."""
    @property
    def message(self) -> bytes | None:
        """The words for a person (error)."""

def classify_dhcp(
    data: bytes,
    *,
    port: int,
    server: str,
    accept_option82_without_giaddr: bool = False,
) -> tuple[Literal["discover", "request"], None] | tuple[None, str]:
    """Return what a datagram that came to `port` (67 or 4011) of the server at address `server` asks (W-16, W-17).

    These are the rules that a `Server` drops packets by: what is asked, or the last word of the counter
    `dhcp.dropped...` that would move.

    Raises:
        WireError: it is no DHCP packet.
        ValueError: for another port, or what is no address.
    """

def parse_dhcp(data: bytes) -> DhcpPacket:
    """Reads one datagram of a client or a server.

    An option that runs past its field ends that field; the packet is refused only where that hides, or may
    hide, option 53, 60 or 93. Plain BOOTP (no option 53) is refused.

    Raises:
        WireError: it is no DHCP packet.
    """

def emit_dhcp_reply(
    *,
    message_type: int,
    xid: int,
    chaddr: bytes,
    htype: int = 1,
    hlen: int = 6,
    secs: int = 0,
    flags: int = 0,
    ciaddr: str = "0.0.0.0",
    siaddr: str = "0.0.0.0",
    giaddr: str = "0.0.0.0",
    sname: bytes = b"",
    file: bytes = b"",
    options: Sequence[tuple[int, bytes]] = (),
    relay_agent: bytes | None = None,
    budget: int = 548,
) -> bytes:
    """A server's reply: `yiaddr` and `hops` 0, option 53 first, then `options` in their order, option 82 last.

    `chaddr` is padded to 16 bytes, the packet to 300. At most `budget` bytes: what does not fit is left out,
    first options from the end of the list (never 54, 60, 243, 250 and 252), then `relay_agent` as a whole (W-50).

    Raises:
        WireError: a name is too long (`sname` 63 bytes, `file` 127), an option is one of 0, 52, 53, 82, 255,
            or even the least does not fit.
        ValueError: an address is no dotted quad.
    """

def parse_tftp(data: bytes) -> TftpPacket:
    """Reads one datagram.

    Raises:
        WireError: it is no TFTP packet, or a request longer than 1468 bytes.
    """

def emit_tftp_request(filename: bytes, options: Sequence[tuple[bytes, int]] = ()) -> bytes:
    """A read request of mode octet (RFC 1350), with options as decimal numbers (RFC 2347).

    Raises:
        WireError: the name or an option's name is empty or holds a NUL, or the whole is longer than 1468 bytes.
    """

def emit_tftp_data(block: int, payload: bytes) -> bytes:
    """One block of the file, `block` modulo 65536."""

def emit_tftp_ack(block: int, next_window: int | None = None) -> bytes:
    """An acknowledgment of `block`, modulo 65536; five bytes long with the blocks wanted next (W-107)."""

def emit_tftp_error(code: int, message: str = "") -> bytes:
    """An error of a code 0 to 8 (RFC 1350, 2347); the words end at their first NUL.

    Raises:
        ValueError: no such code.
    """

def emit_tftp_oack(options: Sequence[tuple[bytes, int]]) -> bytes:
    """An option acknowledgment (RFC 2347); names go out as given, in the order given.

    Raises:
        WireError: an option's name is empty or holds a NUL.
    """

def fold_name(raw: bytes) -> bytes:
    r"""The one form of a file name that is looked up (W-77): separators ``/``, no leading one, ASCII lower case.

    Raises:
        WireError: it leads out of the root or is no name; `what` says why.
    """
