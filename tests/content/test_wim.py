import os
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pxefast.content import regf, wim
from pxefast.content.regf import Key, Value
from pxefast.errors import ContentError

from .. import wims
from .bare_wim import image, resource

KINDS: dict[str, dict[str, Any]] = {
    "none": {"compress": "none"},
    "xpress": {"compress": "XPRESS"},
    "lzx": {"compress": "LZX"},
    "lzms": {"compress": "LZMS"},
    "solid": {"solid": True},
    "pipable": {"pipable": True},
    "two": {"images": 2},
    "split": {"split": True},
    "unfinished": {"unfinished": True},
    "not bootable": {"bootable": False},
    "x86": {"architecture": "x86"},
    "arm64": {"architecture": "arm64", "languages": ("de-DE", "fr-FR"), "edition": "WinPE-X", "build": 17763},
    "nameless": {"state_architecture": False},
}
REFUSED = {
    "lzms": "compressed with LZMS, version 0xe00",
    "solid": "compressed with LZMS, version 0xe00",
    "pipable": "it is pipable",
    "split": r"part 1 of \d+ of a split image",
    "unfinished": "never finished being written",
    "not bootable": "none of its images is marked",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wims")
    return {
        kind: wims.make(folder / f"{kind.replace(' ', '-')}.wim", **how).path for kind, how in KINDS.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_is_read_as_wimlib_reads_it(made: dict[str, Path], kind: str) -> None:
    printed = wims.run("info", "--header", str(made[kind]))
    theirs = {key.rstrip(): value for key, value in re.findall(r"^(\S[^=]*)= (.*)$", printed, re.MULTILINE)}
    ours = wim.read_header(made[kind])
    assert (ours.version, ours.flags) == (int(theirs["Version"], 16), int(theirs["Flags"], 16))
    assert ours.guid.bytes_le.hex() == theirs["GUID"]
    numbers = {
        "Chunk Size": ours.chunk_size,
        "Part Number": ours.part,
        "Total Parts": ours.parts,
        "Image Count": ours.images,
        "Boot Index": ours.boot_index,
        "Blob Table Offset": ours.blobs.offset,
        "Blob Table Size": ours.blobs.size,
        "XML Data Offset": ours.xml.offset,
        "XML Data Size": ours.xml.size,
        "XML Data Original Size": ours.xml.original,
        "Boot Metadata Offset": ours.boot.offset,
        "Boot Metadata Size": ours.boot.size,
        "Boot Metadata Original Size": ours.boot.original,
    }
    assert numbers == {key: int(theirs[key]) for key in numbers}
    assert ours.boot.flags == int(theirs["Boot Metadata Flags"], 16)
    assert ours.pipable == ("WLPWM" in theirs["Magic Characters"])


@pytest.mark.parametrize("kind", REFUSED)
def test_an_image_that_no_boot_manager_starts_is_refused_with_the_reason(
    made: dict[str, Path], kind: str
) -> None:
    with pytest.raises(ContentError, match=rf"{made[kind].name}: .*{REFUSED[kind]}"):
        wim.read(made[kind])


@pytest.mark.parametrize("kind", ["lzms", "solid", "pipable", "split", "not bootable"])
def test_what_a_refusal_advises_makes_the_image_boot(
    made: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    file, new = made[kind], tmp_path / "new.wim"
    for _ in range(3):
        with pytest.raises(ContentError) as refused:
            wim.read(file)
        advice = re.search(r"wimlib-imagex (\w+)(.*)", str(refused.value))
        assert advice is not None
        verb, rest = advice[1], re.sub(r" marks one$", "", advice[2])
        if verb == "join":
            wims.run("join", str(new), *(str(part) for part in sorted(file.parent.glob("split*.wim"))))
        else:
            if verb != "export":
                new.write_bytes(file.read_bytes())
            words = {"FILE": str(file if verb == "export" else new), "NEW": str(new), "N": "1"}
            wims.run(verb, *(words.get(word, word) for word in rest.split()))
        try:
            assert wim.read(new).boot.architecture == "x64"
            return
        except ContentError:
            file = new.rename(tmp_path / "step.wim")
    pytest.fail("it still does not boot")


def test_what_an_image_says_of_itself_is_told(made: dict[str, Path]) -> None:
    info = wim.read(made["arm64"])
    assert (info.version, info.compression, info.chunk_size, info.boot_index) == (0x10D00, "LZX", 32768, 1)
    boot = info.boot
    assert (boot.index, boot.name, boot.architecture, boot.edition) == (1, "PE 1", "arm64", "WinPE-X")
    assert (boot.version, boot.build) == ("10.0.17763", 17763)
    assert (boot.languages, boot.default_language) == (("de-DE", "fr-FR"), "de-DE")
    assert boot.total_bytes is not None
    assert boot.total_bytes > 64 * 1024
    assert wim.read(made["x86"]).boot.architecture == "x86"
    assert wim.read(made["none"]).compression == "none"
    assert wim.read(made["xpress"]).compression == "XPRESS"


def test_the_second_of_two_images_boots_where_the_header_says_so(made: dict[str, Path]) -> None:
    info = wim.read(made["two"])
    assert [image.index for image in info.images] == [1, 2]
    assert (info.boot_index, info.boot.name) == (2, "PE 2")


def test_an_image_that_does_not_say_its_architecture_has_none(made: dict[str, Path]) -> None:
    assert wim.read(made["nameless"]).boot.architecture is None


def test_wimlib_finds_version_and_language_in_hives_of_ours(tmp_path: Path) -> None:
    config = tmp_path / "tree" / "Windows" / "System32" / "config"
    config.mkdir(parents=True)
    (config.parent / "ntoskrnl.exe").write_bytes(wims.pe("arm64"))
    (config.parent / "kernel32.dll").write_bytes(wims.pe("arm64"))
    version = (
        Value.text("CurrentVersion", "6.3"),
        Value.number("CurrentMajorVersionNumber", 10),
        Value.number("CurrentMinorVersionNumber", 0),
        Value.text("CurrentBuild", "26100"),
        Value.text("CurrentBuildNumber", "26100"),
        Value.text("EditionID", "WindowsPE"),
        Value.text("InstallationType", "WindowsPE"),
        Value.text("ProductName", "Invented PE"),
    )

    def nested(path: str, *values: Value, below: tuple[Key, ...] = ()) -> Key:
        first, _, rest = path.partition("\\")
        return Key(first, keys=(nested(rest, *values, below=below),)) if rest else Key(first, values, below)

    software = Key("ROOT", keys=(nested(r"Microsoft\Windows NT\CurrentVersion", *version),))
    control = (
        nested("ProductOptions", Value.text("ProductType", "WinNT")),
        nested(r"MUI\UILanguages", below=(Key("en-US", (Value.number("LCID", 0x409),)),)),
        nested(r"Nls\Language", Value.text("InstallLanguage", "0409"), Value.text("Default", "0409")),
    )
    current = nested(r"ControlSet001\Control", below=control)
    system = Key("ROOT", keys=(current, Key("Select", (Value.number("Current", 1),))))
    (config / "SOFTWARE").write_bytes(regf.write(software))
    (config / "SYSTEM").write_bytes(regf.write(system))
    file = tmp_path / "boot.wim"
    wims.run("capture", str(tmp_path / "tree"), str(file), "PE", "--boot")
    boot = wim.read(file).boot
    assert (boot.architecture, boot.edition, boot.product) == ("arm64", "WindowsPE", "Invented PE")
    assert (boot.build, boot.languages, boot.default_language) == (26100, ("en-US",), "en-US")
    assert boot.version is not None
    assert boot.version.startswith("10.0.26100")


def read(tmp_path: Path, data: bytes) -> wim.WimInfo:
    file = tmp_path / "boot.wim"
    file.write_bytes(data)
    return wim.read(file)


def header_with(at: int, layout: str, value: Any) -> bytes:
    changed = bytearray(image())
    struct.pack_into(layout, changed, at, value)
    return bytes(changed)


DEEP = "<WIM>" + "<a>" * 40 + "</a>" * 40 + "</WIM>"
BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no Windows image"),
    "another file": (b"\x7fELF" + bytes(500), "no Windows image"),
    "half a header": (image()[:100], "ends at byte 100, inside its header"),
    "half a pipable header": (b"WLPWM\0\0\0" + bytes(50), "ends at byte 58, inside its header"),
    "a pipable file without its end": (b"WLPWM\0\0\0" + bytes(500), "no Windows image"),
    "a longer header": (header_with(8, "<I", 216), "216 bytes"),
    "an unknown version": (header_with(12, "<I", 0x10E00), "version 0x10e00"),
    "an unknown compression": (header_with(16, "<I", 0x400002), "an unknown method"),
    "two compressions": (header_with(16, "<I", 0x60002), "an unknown method"),
    "metadata alone": (header_with(16, "<I", 0x40022), "only a part of an image"),
    "no part": (header_with(42, "<H", 0), "part 1 of 0"),
    "another image boots": (image(boot_index=2), "image 2 should boot, and there are 1"),
    "no end": (image()[:-1], "its XML should be at byte 208"),
    "XML far away": (image(xml=resource(1 << 60, 12)), "copy it again"),
    "no files": (image(blobs=resource(0, 0)), "its list of files should be"),
    "no metadata": (image(boot=resource(1 << 40, 50)), "its metadata should be"),
    "packed XML": (image(xml=resource(208, 60, flags=4)), "compressed"),
    "XML of another size": (image(xml=resource(208, 60, original=61)), "compressed"),
    "XML in UTF-8": (image(b"<WIM/>"), "not UTF-16"),
    "half a letter": (image(b"\xff\xfe<"), "not UTF-16 at byte 2"),
    "half a pair": (image("<WIM>\ud800</WIM>"), "not UTF-16 at byte 12"),
    "a document type": (image('<!DOCTYPE x [<!ENTITY a "b">]><WIM>&a;</WIM>'), "has a document type"),
    "an entity": (image("<WIM>&a;</WIM>"), "its XML is broken: undefined entity"),
    "no XML": (image("MSWIM"), "its XML is broken: syntax error"),
    "half an element": (image("<WIM><IMAGE INDEX="), "its XML is broken"),
    "too deep": (image(DEEP), "more than 32 levels"),
    "too much": (image("<WIM>" + "<a/>" * 100_000 + "</WIM>"), "more than 100000 elements"),
    "no image": (image("<WIM/>"), "does not describe the 1 images"),
    "one image too few": (image(images=2), "does not describe the 2 images"),
    "endless images": (image(images=0xFFFFFFFF), "does not describe the 4294967295 images"),
    "an image twice": (
        image('<WIM><IMAGE INDEX="1"/><IMAGE INDEX="1"/></WIM>', images=2),
        "does not describe",
    ),
    "an image without number": (image("<WIM><IMAGE/></WIM>"), "does not describe"),
    "an image elsewhere": (image('<X><IMAGE INDEX="1"/></X>'), "does not describe"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_refused_with_its_name(tmp_path: Path, what: str) -> None:
    data, why = BROKEN[what]
    with pytest.raises(ContentError, match=rf"boot\.wim: .*{why}"):
        read(tmp_path, data)


def test_xml_of_more_than_16_mib_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "boot.wim"
    file.write_bytes(image(xml=resource(208, (16 << 20) + 1)))
    os.truncate(file, 64 << 20)
    with pytest.raises(ContentError, match="its XML has 16777217 bytes"):
        wim.read(file)


def described(tmp_path: Path, inner: str) -> wim.WimImage:
    return read(tmp_path, image(f'<WIM><IMAGE INDEX="1">{inner}</IMAGE></WIM>')).boot


@pytest.mark.parametrize(
    ("arch", "name"),
    [("0", "x86"), ("5", "arm"), ("6", "ia64"), ("9", "x64"), ("12", "arm64"), (" 9 ", "x64")]
    + [(odd, None) for odd in ("", "7", "-9", "9.0", "0x9", "\u0669", "9" * 5000, str(2**64), "x64")],
)
def test_architectures_have_numbers_and_what_is_none_is_unknown(
    tmp_path: Path, arch: str, name: str | None
) -> None:
    assert described(tmp_path, f"<WINDOWS><ARCH>{arch}</ARCH></WINDOWS>").architecture == name


def test_an_image_that_says_nothing_is_still_an_image(tmp_path: Path) -> None:
    assert described(tmp_path, "") == wim.WimImage(1)
    versioned = described(tmp_path, "<WINDOWS><VERSION><MAJOR>10</MAJOR><BUILD>1</BUILD></VERSION></WINDOWS>")
    assert (versioned.version, versioned.build) == ("10", 1)


def test_words_are_cut_and_cannot_command_a_terminal(tmp_path: Path) -> None:
    assert described(tmp_path, f"<NAME>\x9b2J {'x' * 5000}</NAME>").name == "\ufffd2J " + "x" * 1020
    twice = described(tmp_path, "<NAME>one</NAME><NAME>two</NAME><NAME/>")
    assert twice.name == "one"
    many = "".join(f"<LANGUAGE>l{number}</LANGUAGE>" for number in range(500))
    assert len(described(tmp_path, f"<WINDOWS><LANGUAGES>{many}</LANGUAGES></WINDOWS>").languages) == 200
    assert described(tmp_path, "<NAME>a &amp; <b>no</b> <![CDATA[<c>]]></NAME>").name == "<c>"


def test_images_may_come_in_any_order(tmp_path: Path) -> None:
    both = '<WIM><IMAGE INDEX="2"><NAME>b</NAME></IMAGE><IMAGE INDEX="1"><NAME>a</NAME></IMAGE></WIM>'
    info = read(tmp_path, image(both, images=2, boot_index=2))
    assert [entry.name for entry in info.images] == ["a", "b"]
    assert info.boot == replace(wim.WimImage(2), name="b")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="none: No such file"):
        wim.read(tmp_path / "none")
    with pytest.raises(ContentError, match="it is a directory, not a regular file"):
        wim.read(tmp_path)
    with pytest.raises(ContentError, match="it is a character device, not a regular file"):
        wim.read(Path("/dev/null"))
