"""What holds for every site and every request, on random ones."""

from dataclasses import asdict
from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MAC = "00:11:22:33:44:55"
GUID = "11223344-5566-7788-99aa-bbccddeeff00"
NOW = 1_700_000_000.0
IDS = ["PS120001", "PS120002", "PS120003"]
IMAGES = ["PS100001", "PS100002"]
OTHER_GUID = "99999999-0000-0000-0000-000000000001"


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    flags = st.booleans()
    return {
        "dp": {
            "enable_pxe": draw(flags),
            "allow_pxe_response": draw(flags),
            "interfaces": draw(st.sampled_from([None, (), ("eth0",), ("eth1",)])),
            "unknown_computers": draw(flags),
            "response_delay": draw(st.sampled_from([0, 4])),
        },
        "known": draw(flags),
        "stored_guid": draw(st.sampled_from([None, GUID])),
        "deployments": draw(
            st.dictionaries(
                st.sampled_from(IDS),
                st.tuples(
                    st.sampled_from(IMAGES),
                    st.sampled_from(["required", "available"]),
                    st.sampled_from(["clients", "media-pxe", "media-pxe-hidden"]),
                ),
            )
        ),
        "images": draw(
            st.tuples(*[st.tuples(st.sampled_from(["x86", "x64", "arm64"]), flags, flags)] * len(IMAGES))
        ),
        "marks": draw(
            st.dictionaries(
                st.sampled_from(IDS),
                st.tuples(st.sampled_from([0, 10, 901]), st.integers(0, 3), st.integers(0, 2)),
            )
        ),
        "excluded": draw(flags),
        "paused": draw(st.sampled_from([None, "gone"])),
        "request": {
            "guid": draw(st.sampled_from([None, GUID, OTHER_GUID])),
            "architecture": draw(st.sampled_from([None, 0, 6, 7, 9, 11, 16])),
            "pxe_client": draw(flags),
            "ipxe": draw(flags),
            "door": draw(st.sampled_from(["discover", "request"])),
            "secs": draw(st.sampled_from([0, 4])),
            "xid": draw(st.integers(0, 2)),
        },
    }


def build(new_world: Any, decide: ModuleType, case: dict[str, Any]) -> Any:
    world = new_world(decide)
    world.dp = {"site": "PS1", **case["dp"]}
    world.devices = [world.device(guid=case["stored_guid"])] if case["known"] else []
    world.images = [
        world.image(name, arch, pxe, here)
        for name, (arch, pxe, here) in zip(IMAGES, case["images"], strict=True)
    ]
    made = [world.deployment(name, *fields) for name, fields in case["deployments"].items()]
    world.deployments = {1: made}
    world.unknown = {"x64": tuple(made)}
    world.marks = {
        (1, name): world.mark(name, claimed_at=NOW - age, step=step, xid=xid)
        for name, (age, step, xid) in case["marks"].items()
    }
    world.exclusions = decide.Exclusions(frozenset({MAC} if case["excluded"] else ()), case["paused"])
    return world


ANY_FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@ANY_FIXTURE
@given(case=cases())
def test_what_is_handed_out_is_always_allowed_and_claimed(
    new_world: Any, decide: ModuleType, case: dict[str, Any]
) -> None:
    world = build(new_world, decide, case)
    decision = world.ask(**case["request"])
    assert (decision.boot_program is not None) == (decision.action in ("boot", "prompt"))
    assert decision.claim == (decision.action == "boot")
    assert decision.reasons
    if decision.action == "ignore":
        return
    dp = case["dp"]
    assert dp["enable_pxe"]
    assert dp["allow_pxe_response"]
    assert dp["interfaces"] in (None, ("eth0",))
    assert case["request"]["pxe_client"]
    assert not case["excluded"]
    image = next(image for image in world.images if image.id == decision.boot_image)
    assert image.pxe_enabled
    assert image.distributed
    assert decision.boot_program in image.programs.values()
    if decision.action == "boot":
        assert case["paused"] is None
        assert case["known"]
        required = [name for name, fields in case["deployments"].items() if fields[1:] != ("available",)]
        assert decision.deployment in required
        visible = [
            name
            for name, fields in case["deployments"].items()
            if fields[1] == "required" and fields[2] != "clients"
        ]
        assert decision.deployment == max(visible)
        mark = world.marks.get((1, decision.deployment))
        request = world.request(**case["request"])
        assert mark is None or mark.continues(request.step, request.xid, NOW, 900)


@ANY_FIXTURE
@given(case=cases())
def test_excluding_pausing_or_switching_off_never_adds_a_boot(
    new_world: Any, decide: ModuleType, case: dict[str, Any]
) -> None:
    before = build(new_world, decide, case).ask(**case["request"])
    for change in (
        {"excluded": True},
        {"paused": "gone"},
        {"dp": {**case["dp"], "allow_pxe_response": False}},
        {"dp": {**case["dp"], "unknown_computers": False}},
    ):
        after = build(new_world, decide, {**case, **change}).ask(**case["request"])
        assert after.action in ("ignore", before.action)


@ANY_FIXTURE
@given(case=cases())
def test_a_mark_of_another_boot_never_adds_a_required_boot(
    new_world: Any, decide: ModuleType, case: dict[str, Any]
) -> None:
    before = build(new_world, decide, case).ask(**case["request"])
    marked = {**case["marks"], **dict.fromkeys(case["deployments"], (901, 0, 0))}
    after = build(new_world, decide, {**case, "marks": marked}).ask(**case["request"])
    assert after.action != "boot"
    if before.action == "boot":
        assert "already_offered" in [reason.code for reason in after.reasons]


@ANY_FIXTURE
@given(case=cases())
def test_the_same_question_has_the_same_answer(
    new_world: Any, decide: ModuleType, case: dict[str, Any]
) -> None:
    assert build(new_world, decide, case).ask(**case["request"]) == build(new_world, decide, case).ask(
        **case["request"]
    )


@ANY_FIXTURE
@given(case=cases())
def test_the_source_and_the_compiled_modules_agree(
    new_world: Any, decide: ModuleType, case: dict[str, Any]
) -> None:
    from pxefast import decide as loaded

    assert asdict(build(new_world, decide, case).ask(**case["request"])) == asdict(
        build(new_world, loaded, case).ask(**case["request"])
    )
