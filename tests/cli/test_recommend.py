"""`pxefast dp recommend`, and the sizes that it says how to set."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from pxefast.cli import recommend
from pxefast.site.learned_windows import Lesson
from pxefast.site.store import Store


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes interfaces as the kernel shows them."""
    folder = tmp_path / "net"
    monkeypatch.setattr(recommend, "_NETWORK", folder)

    def add(name: str, mtu: int, speed: str = "1000", kind: int = 1, state: str = "up") -> None:
        (folder / name).mkdir(parents=True)
        for file, text in (("mtu", mtu), ("speed", speed), ("type", kind), ("operstate", state)):
            (folder / name / file).write_text(f"{text}\n")

    add("lo", 65536, "", kind=772, state="unknown")
    return add


@pytest.mark.parametrize(("window", "megabytes"), [(1, 2.8), (4, 10.6), (8, 19.5), (16, 33.5), (64, 73)])
def test_the_arithmetic_is_that_of_the_rules(window: int, megabytes: float) -> None:
    """W-105's own figures, at 1456 bytes and 1 Gbit/s."""
    found = recommend.throughput(1456, window, 1500, 1000) / 1e6
    assert found == pytest.approx(megabytes, rel=0.02)


@pytest.mark.parametrize(
    ("block", "mtu", "packets"),
    [
        (1456, 1500, 1),
        (1468, 1500, 1),
        (1469, 1500, 2),
        (4096, 1500, 3),
        (8192, 1500, 6),
        (16384, 1500, 12),
        # 1480 bytes of data in each: 2 * 1480 - 12 is the most that two carry.
        (2948, 1500, 2),
        (2949, 1500, 3),
        # No packet but the last one holds a number of bytes that eight does not divide.
        (2740, 1401, 2),
        (2741, 1401, 3),
        (8968, 9000, 1),
    ],
)
def test_a_block_is_cut_as_ip_cuts_it(block: int, mtu: int, packets: int) -> None:
    assert recommend.packets(block, mtu) == packets


def test_each_interface_is_told_what_fits_and_why_what_is_set_is_slow(
    run: Any, done: Any, site: Path, network: Any
) -> None:
    network("eth0", 1500)
    network("wg0", 1420, "-1", kind=65534, state="unknown")
    network("eth1", 1500, state="down")
    told = run("dp", "recommend", "--json").json
    first, second = told["interfaces"]
    assert (first["interface"], first["mtu"], first["megabits_a_second"]) == ("eth0", 1500, 1000)
    assert (second["interface"], second["megabits_a_second"]) == ("wg0", None)
    assert first["largest_block_in_one_packet"] == 1468
    assert first["recommended"]["block_size"] == 1456
    assert second["recommended"]["block_size"] == 1376
    assert (first["now"]["block_size"], first["now"]["packets_a_block"]) == (4096, 3)
    assert [line.split(":")[0] for line in first["why"]] == [
        "slow",
        "a block of 4096 bytes is cut into 3 packets",
    ]
    words = run("dp", "recommend").out
    for part in (
        "eth0: MTU 1500",
        "rate not known",
        "W * B /",
        "pxefast dp set --ramdisk-tftp-block-size 1376",
    ):
        assert part in words
    assert "pxefast boundary-group set NAME --tftp-block-size 1456" in words


def test_its_commands_work_and_then_nothing_is_left_to_do(
    run: Any, done: Any, site: Path, network: Any
) -> None:
    network("eth0", 1500)
    (command,) = run("dp", "recommend", "--json").json["commands"]
    done(*shlex.split(command)[1:])
    told = run("dp", "recommend", "--json").json
    assert told["commands"] == []
    assert told["interfaces"][0]["why"][0].startswith("fast")
    assert "What fits is set already." in run("dp", "recommend").out


def test_an_mtu_can_be_named_and_must_leave_room_for_a_block(run: Any, site: Path, network: Any) -> None:
    assert run("dp", "recommend").code == 2
    told = run("dp", "recommend", "--mtu", "9000", "--json").json["interfaces"][0]
    assert (told["interface"], told["largest_block_in_one_packet"]) == (None, 8968)
    # Frames of other sizes are the exception: what fits is told, not recommended.
    assert told["recommended"]["block_size"] == 1456
    assert "few do" in told["why"][-1]
    assert run("dp", "recommend", "--mtu", "500").code == 2


def test_a_slow_line_gets_a_smaller_window_and_only_the_interfaces_that_answer_are_looked_at(
    run: Any, done: Any, site: Path, network: Any
) -> None:
    network("eth0", 1500, "100")
    network("eth1", 1400)
    done("dp", "set", "--interface", "eth0")
    told = run("dp", "recommend", "--json").json
    assert [row["interface"] for row in told["interfaces"]] == ["eth0"]
    assert told["interfaces"][0]["recommended"]["window_size"] == 8


def test_what_is_set_is_judged_as_it_is(run: Any, done: Any, site: Path, network: Any) -> None:
    network("eth0", 1500)
    sizes = ("--ramdisk-tftp-block-size", "16384", "--ramdisk-tftp-window-size", "100")
    done("dp", "set", *sizes, "--ramdisk-tftp-variable-window")
    why = " ".join(run("dp", "recommend", "--json").json["interfaces"][0]["why"])
    for part in ("fast:", "12 packets", "the service grants 16384 and 64", "the window varies"):
        assert part in why


def test_a_boundary_group_says_sizes_and_takes_them_back(run: Any, done: Any, site: Path) -> None:
    done("boundary-group", "create", "cellar")
    done("boundary-group", "set", "cellar", "--tftp-block-size", "1456", "--tftp-variable-window")
    shown = run("boundary-group", "show", "cellar", "--json").json
    assert [shown[f"tftp_{name}"] for name in ("block_size", "window_size", "variable_window")] == [
        1456,
        None,
        True,
    ]
    assert "1456" in run("boundary-group", "list").out
    assert run("boundary-group", "set", "cellar").code == 2
    assert run("boundary-group", "set", "cellar", "--tftp-window-size", "256").code == 1
    done("boundary-group", "set", "cellar", "--no-tftp-sizes")
    assert run("boundary-group", "show", "cellar", "--json").json["tftp_block_size"] is None


def test_the_variable_window_of_a_distribution_point_is_shown_and_switched(
    run: Any, done: Any, site: Path
) -> None:
    assert run("dp", "show", "--json").json["ramdisk_tftp_variable_window"] is False
    done("dp", "set", "--ramdisk-tftp-variable-window")
    assert run("dp", "show", "--json").json["ramdisk_tftp_variable_window"] is True
    assert "variable window:" in run("dp", "show").out


def test_models_that_lost_blocks_of_the_recommended_window_are_named(
    run: Any, site: Path, home: Path, network: Any
) -> None:
    network("eth0", 1500)
    with Store.open(home / "site.db") as store:
        store.learned_windows.learn(Lesson("00:11:22/x64-bios/iPXE", 8, 64, 9, 40, 50, "web01"))
        store.learned_windows.learn(Lesson("00:11:33/x64-bios/iPXE", 32, 64, 40, 40, 50, "web02"))
    assert run("dp", "recommend", "--json").json["learned"] == {"00:11:22/x64-bios/iPXE": 8}
    assert "Machines of model 00:11:22/x64-bios/iPXE get 8 blocks a window" in run("dp", "recommend").out
