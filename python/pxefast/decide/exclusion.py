"""The exclusion list: a MAC on it is never answered, whatever is deployed (CM-54 to CM-59)."""

from __future__ import annotations

from pxefast.errors import ExclusionError

from .records import normal_mac


def parse(text: str, file: str) -> frozenset[str]:
    """The MAC addresses of an exclusion list, one a line, in any usual spelling.

    `#` and `;` begin a comment; blank lines, a byte order mark and CRLF are accepted.
    Raises ExclusionError at the first line that is none of these: a list half read excludes too few (R-52).
    """
    macs = set()
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        entry = raw.partition("#")[0].partition(";")[0].strip()
        if not entry:
            continue
        mac = normal_mac(entry)
        if mac is None:
            raise ExclusionError(
                file, number, f"{entry!r} is not a MAC address; write one a line, such as 01:23:45:67:89:ab"
            )
        macs.add(mac)
    return frozenset(macs)
