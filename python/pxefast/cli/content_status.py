"""What `pxefast content status` tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pxefast.content.package import outdated

if TYPE_CHECKING:
    from pxefast.cli.context import Context
    from pxefast.content.library import Published
    from pxefast.site.boot_images import BootImageRow
    from pxefast.site.contents import AssignmentRow, VersionRow

__all__ = ["rows"]


def rows(here: Context, image_id: str | None = None) -> list[dict[str, Any]]:
    """A dictionary for each image and point; `done` and `total` in bytes, `needs_redistribution` why, or None."""
    store, published = here.store(), here.library().published()
    assigned, versions = store.contents.all(image_id=image_id), store.contents.versions()
    found = []
    for image in store.boot_images.all():
        if image_id not in (None, image.id):
            continue
        of_image = [row for row in assigned if row.boot_image_id == image.id]
        local = published.get(image.id)
        found += [_row(row, _needs(image, row, versions[image.id], local)) for row in of_image]
        own = store.own_point
        if local is not None and own and not any(row.distribution_point == own for row in of_image):
            found.append(_before_orders(own, image, local))
    return found


def _row(row: AssignmentRow, needs: str | None) -> dict[str, Any]:
    values = row._asdict()
    about = ("served_version", "state", "attempt", "done", "total", "why", "changed_at", "validated_at")
    return {
        "boot_image": row.boot_image_id,
        "distribution_point": row.distribution_point,
        "wanted_version": row.version,
        **{name: values[name] for name in about},
        "needs_redistribution": needs,
    }


def _before_orders(point: str, image: BootImageRow, local: Published) -> dict[str, Any]:
    """What this point serves from before there were orders."""
    return {
        "boot_image": image.id,
        "distribution_point": point,
        "wanted_version": None,
        "served_version": local.version,
        "state": "served",
        "attempt": 0,
        "done": local.size,
        "total": local.size,
        "why": None,
        "changed_at": None,
        "validated_at": None,
        "needs_redistribution": outdated(local, image.revision, image.source),
    }


def _needs(
    image: BootImageRow, row: AssignmentRow, versions: Mapping[int, VersionRow], local: Published | None
) -> str | None:
    """Why a point should get an image anew."""
    if row.state == "damaged":
        return "it is damaged"
    if row.served_version is None:
        return None
    if versions[row.served_version].revision < image.revision:
        return "its properties have changed"
    newest = max(versions)
    if row.served_version < newest and row.state != "pulling":
        return f"version {newest} is newer"
    # Only the host that has the image's own files can tell, by what it has packaged of them.
    return None if local is None else outdated(local, image.revision, image.source)
