"""`pxefast init`: a new home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pxefast.cli.context import get
from pxefast.errors import AlreadyExists, CannotOpen


def init(
    context: typer.Context,
    site_code: Annotated[
        str, typer.Option("--site-code", metavar="XYZ", help="Three characters of A-Z and 0-9.")
    ],
) -> None:
    """Make a home: pxefast.toml, the site database and the content library.

    Nothing that exists is overwritten.
    """
    from pxefast.config import default_text
    from pxefast.content.library import Library
    from pxefast.site.sites import check_site_code
    from pxefast.site.store import Store

    check_site_code(site_code)
    here = get(context)
    if here.database.exists():
        raise AlreadyExists(f"{here.home} is already initialised; nothing was changed")
    try:
        here.home.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotOpen(f"cannot make {here.home}: {error.strerror}; name another with --home") from None
    settings = here.settings
    # The database last: a home is initialised when it is there.
    Library.create(here.content)
    _write_if_new(here.home / "pxefast.toml", default_text())
    Store.create(here.database, site_code, settings.database.busy_seconds).close()
    print(f"initialised {here.home} for site {site_code}")
    print("this distribution point answers nobody until: pxefast dp set --enable-pxe --allow-pxe-response")


def _write_if_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as writer:
            writer.write(text)
    except FileExistsError:
        pass
    except OSError as error:
        raise CannotOpen(f"cannot write {file}: {error.strerror}; name another home with --home") from None
