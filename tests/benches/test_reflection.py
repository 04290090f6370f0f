"""What pxefast sends to who never asked it, measured as in the bench that measures others (R-20, R-21, R-22)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benches.tftp.reflection import FORGERIES, PROMISES, Count, measure, promises

from ..firmware.net import Namespace
from ..loopback.lan import lan_or_skip

# Whose count does not go on for as long as a client is waited for that once was there.
SHORT = ("silent", "silent, options", "silent, no such file", "ACKs, victim closed")


@pytest.fixture(scope="module")
def counts() -> Iterator[list[Count]]:
    lan_or_skip().close()
    network = Namespace()
    with network:
        counted, absent = measure(
            ["pxefast"], quiet=2.5, forgeries=[forgery for forgery in FORGERIES if forgery.name in SHORT]
        )
    assert not absent
    yield counted
    network.close()


@pytest.mark.parametrize("forgery", SHORT)
def test_a_forged_request_draws_no_more_than_was_promised(counts: list[Count], forgery: str) -> None:
    """R-20, R-21, R-22: two DATA and 1,032 bytes, three OACK and three times the request; ICMP ends it."""
    (count,) = [count for count in counts if count.forgery == forgery]
    assert promises(counts)[PROMISES[forgery]], count


def test_what_is_promised_is_measured(counts: list[Count]) -> None:
    assert {count.forgery for count in counts} == set(SHORT)
    assert all(
        count.datagrams and count.sent_on_wire == count.sent + 28 * count.datagrams for count in counts
    )
    assert {forgery.name for forgery in FORGERIES} - set(PROMISES) == {"ACKs, port known"}


def test_a_server_that_sends_more_is_noticed() -> None:
    silent = Count("pxefast", "silent", request=37, forged=37, forged_on_wire=65, datagrams=6, sent=3096)
    assert promises([silent]) == {PROMISES["silent"]: False}
