"""The TFTP yardstick measures what it says: every byte compared, one row a server and case. Never how fast."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benches.tftp import table
from benches.tftp.measure import Case, LoadError, Plan, Results, Sample, Stage, load, measure, sample, stage
from benches.tftp.servers import SERVERS


@pytest.fixture(scope="module")
def small() -> Iterator[Stage]:
    with stage(100_000) as made:
        yield made


def test_a_run_has_a_row_for_each_server_and_case_and_compares_every_byte() -> None:
    cases = (Case(1456, 1), Case(1456, 16))
    plan = Plan(cases, ("bare", "pxefast"), clients=3, file_bytes=300_000, rounds=2)
    results = measure(plan, None, lambda words: None)
    assert results.absent == {}
    rows = table.rows(plan, results)
    assert [(row.asked, row.server) for row in rows] == [
        (case, name) for case in cases for name in plan.servers
    ]
    for row in rows:
        assert row.granted == (row.asked.window, row.asked.block)
        assert row.of_bare is not None
        assert row.cpu_s_per_gb.lowest > 0
        assert row.peak_mib > 0
    assert all(each.bytes == 3 * 300_000 for done in results.samples.values() for each in done)
    lines = table.text(rows).splitlines()
    assert len(lines) == 1 + len(rows)
    assert {len(line) for line in lines} == {len(lines[0])}
    assert [each["budget"] for each in table.budgets(plan, rows)] == [1.15, 1.15]


@pytest.mark.parametrize("name", ["bare", "bare-read"])
@pytest.mark.parametrize("case", [Case(1456, 1), Case(1456, 64), Case(8192, 16), Case(512, 4)])
@pytest.mark.parametrize("uncut", [True, False])
def test_the_bare_loop_sends_the_right_bytes(small: Stage, name: str, case: Case, uncut: bool) -> None:
    with SERVERS[name].run(small) as server:
        done = sample(small, server, "image.bin", case, 2, uncut)
    assert (done.bytes, done.granted) == (200_000, (case.window, case.block))


def test_a_wrong_byte_and_a_wrong_length_are_noticed(small: Stage) -> None:
    image = small.path("image.bin")
    right = image.read_bytes()
    with SERVERS["bare"].run(small) as server:
        try:
            image.write_bytes(right[:60_000] + bytes([right[60_000] ^ 1]) + right[60_001:])
            altered = small.path("altered.bin")
            altered.write_bytes(right)
            with pytest.raises(LoadError, match="wrong bytes in block"):
                load(small, server, "altered.bin", Case(1456, 4), 2, lambda: None)
            altered.write_bytes(right + b"x")
            with pytest.raises(LoadError, match="wrong tsize"):
                load(small, server, "altered.bin", Case(1456, 4), 2, lambda: None)
        finally:
            image.write_bytes(right)


def test_a_server_without_windows_stands_for_itself_at_each_window() -> None:
    done = Sample((1, 1456), 1, 1.0, 1.0, 1, 0)
    results = Results({("dnsmasq", Case(1456, 1)): [done]})
    assert results.of("dnsmasq", Case(1456, 64)) == [done]
    assert results.of("atftpd", Case(1456, 64)) == []
