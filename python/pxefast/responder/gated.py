"""Which published files are launch files: their last byte leaves only after the ledger has said so (I3)."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from pxefast.content.library import Published
from pxefast.content.namespace import full_name
from pxefast.content.source import fold
from pxefast.decide import Site
from pxefast.site import schema
from pxefast.site.store import Store

__all__ = ["gated_files"]


def gated_files(store: Store, site: Site, published: Mapping[str, Published]) -> dict[str, str]:
    """The full names of the launch files of all images that a required deployment uses, by their folded form.

    Where an image declares no launch file, any of its boot programs may be the one that a machine ends with. A
    deployment counts whatever it reaches at the moment, and so does what a live session was told to launch: machines
    may be on their way. Raises CannotOpen or SiteError.
    """
    with store.read() as connection:
        images, live = _required_images(connection), _live_launches(connection)
    found = {}
    for image_id, files in published.items():
        image = site.boot_images.get(image_id)
        wanted = set()
        if image is not None and image_id in images:
            named = [image.launch_file] if image.launch_file else list(image.programs.values())
            wanted = {fold(full_name(files, file)) for file in named}
        for file in files.files:
            name = full_name(files, file.name)
            if fold(name) in wanted or name in live:
                found[fold(name)] = name
    return found


def _required_images(connection: Connection) -> set[str]:
    d, t = schema.deployment.c, schema.task_sequence.c
    query = select(t.boot_image_id).join_from(schema.deployment, schema.task_sequence)
    return set(connection.execute(query.where(d.purpose == "required").distinct()).scalars())


def _live_launches(connection: Connection) -> set[str]:
    c = schema.ledger.c
    query = select(c.launch).where(c.state.in_(schema.LIVE), c.launch.is_not(None)).distinct()
    return set(connection.execute(query).scalars())
