"""The boot programs of what is distributed to here: what a decision can name."""

from __future__ import annotations

from collections.abc import Mapping

from pxefast.content.library import Published
from pxefast.content.namespace import windows_programs
from pxefast.decide import ROLES

__all__ = ["distributed"]


def distributed(published: Mapping[str, Published]) -> dict[str, dict[str, str]]:
    """Each published image's id, and the programs that its files hold by role; {} where the site names them."""
    return {name: windows_programs(image, ROLES) for name, image in published.items()}
