"""System calls that fail: a library put before libc, compiled here, and the page of memory that commands it."""

from __future__ import annotations

import mmap
import struct
import subprocess
from pathlib import Path

_FORMAT = "5i"


class Faults:
    """Failing syncs and writes of files below `below`, in every process with this `environment`."""

    def __init__(self, folder: Path, below: Path) -> None:
        library, orders = folder / "faults.so", folder / "faults"
        source = Path(__file__).with_name("faults.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        orders.write_bytes(bytes(mmap.PAGESIZE))
        with orders.open("r+b") as file:
            self._orders = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.environment = {
            "LD_PRELOAD": str(library),
            "PXEFAST_TEST_FAULTS": str(orders),
            "PXEFAST_TEST_FAULTS_BELOW": str(below),
        }

    def order(self, sync_at: int = 0, always: bool = False, write_error: int = 0) -> None:
        """From now on: the Nth sync fails, once or for ever; writes fail with this errno. Nothing by default."""
        struct.pack_into(_FORMAT, self._orders, 0, sync_at, always, 0, write_error, 0)

    @property
    def syncs(self) -> int:
        """How many there were since the order."""
        return int(struct.unpack_from(_FORMAT, self._orders)[2])

    @property
    def failed(self) -> int:
        """How many calls failed since the order."""
        return int(struct.unpack_from(_FORMAT, self._orders)[4])
