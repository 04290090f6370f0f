"""pxefast: Configuration Manager's PXE-enabled distribution point as an open Linux service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pxefast.tftp.server import TftpServer

__all__ = ["TftpServer", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # Whoever needs no TftpServer does not wait for it.
    if name == "TftpServer":
        from pxefast.tftp.server import TftpServer

        return TftpServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
