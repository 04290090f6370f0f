"""Commands about machines that share an identifier: `device set --add-mac`, `duplicate-id suspects`, `setting`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pxefast.site.sightings import Sighting
from pxefast.site.store import Store

Run, Done = Callable[..., Any], Callable[..., str]


def test_a_network_card_is_added_to_a_device(run: Run, done: Done) -> None:
    done("init", "--site-code", "PS1")
    done("device", "import", "--name", "web01", "--mac", "00:11:22:33:44:55")
    told = done("device", "set", "web01", "--add-mac", "00-11-22-33-44-66", "--add-mac", "001122334477")
    assert "00:11:22:33:44:55, 00:11:22:33:44:66, 00:11:22:33:44:77" in told
    done("device", "import", "--name", "web02", "--mac", "00:11:22:33:44:88")
    refused = run("device", "set", "web01", "--add-mac", "00:11:22:33:44:88")
    assert refused.code == 1
    assert "recorded for device web02" in refused.err
    assert run("device", "set", "web01", "--add-mac", "ff:ff:ff:ff:ff:ff").code == 1


def test_suspects_are_listed_for_people_and_scripts(run: Run, done: Done, home: Path) -> None:
    done("init", "--site-code", "PS1")
    guid = "8a9f841d-4d9f-5e53-a833-734a9fbf87b5"
    done("device", "import", "--name", "web01", "--mac", "00:11:22:33:44:55", "--smbios-guid", guid)
    assert json.loads(done("duplicate-id", "suspects", "--json")) == []
    with Store.open(home / "site.db") as store:
        store.sightings.note([Sighting(guid, "02:00:00:00:00:bb", time.time())])
    (found,) = json.loads(done("duplicate-id", "suspects", "--json"))
    assert (found["device"], found["guid"], found["macs"]) == ("web01", guid, ["00:11:22:33:44:55"])
    assert [(seen["mac"], seen["recorded"]) for seen in found["seen"]] == [("02:00:00:00:00:bb", False)]
    assert "02:00:00:00:00:bb" in done("duplicate-id", "suspects")


def test_placeholder_guids_are_a_list_in_a_setting(run: Run, done: Done) -> None:
    done("init", "--site-code", "PS1")
    guid = "8a9f841d-4d9f-5e53-a833-734a9fbf87b5"
    done("setting", "set", "placeholder_guids", f"{{{guid.upper()}}}")
    refused = run("device", "import", "--name", "web01", "--mac", "00:11:22:33:44:55", "--smbios-guid", guid)
    assert refused.code == 1
    assert "placeholder" in refused.err
    assert run("setting", "set", "placeholder_guids", "1234").code == 1
    done("setting", "reset", "placeholder_guids")
    done("device", "import", "--name", "web01", "--mac", "00:11:22:33:44:55", "--smbios-guid", guid)
