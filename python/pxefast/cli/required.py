"""What those who change a collection are told about the required deployments that reach it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pxefast.cli.output import note

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["tell_required"]


def tell_required(store: Store, collections: Iterable[str]) -> None:
    """Say which members wait for approval (R-58), or are about to be given a required deployment."""
    from pxefast.site.names import listed

    for deployment in dict.fromkeys(
        item for name in collections for item in store.collections.required(name)
    ):
        status = store.deployments.status(deployment)
        if not status.approval:
            note(f"new members are given required deployment {deployment} at their next network boot")
        elif status.pending:
            note(
                f"pending approval for required deployment {deployment}: {listed(status.pending)}; "
                f"to approve: pxefast deployment approve {deployment}"
            )
