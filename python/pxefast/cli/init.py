"""`pxefast init`: a new home, with a hierarchy of its own or in one that is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pxefast.cli.context import Context, get
from pxefast.cli.output import note
from pxefast.errors import AlreadyExists, CannotOpen, ConfigError, NotFound


def init(
    context: typer.Context,
    site_code: Annotated[
        str, typer.Option("--site-code", metavar="XYZ", help="Three characters of A-Z and 0-9.")
    ],
    dp: Annotated[
        str,
        typer.Option(
            "--dp",
            metavar="NAME",
            help="What this distribution point is called (default: this host's name).",
            show_default=False,
        ),
    ] = "",
    database: Annotated[
        str,
        typer.Option(
            "--database",
            metavar="URL",
            help="postgresql://USER@HOST/NAME, shared by several distribution points (default: a file in the home).",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Make a home: pxefast.toml, the site database and the content library.

    Where the PostgreSQL database holds a hierarchy already, the new distribution point joins it. Nothing that exists
    is overwritten.
    """
    from pxefast.config import default_text
    from pxefast.content.library import Library
    from pxefast.site import private_files
    from pxefast.site.distribution_points import check_point_name
    from pxefast.site.sites import check_site_code

    check_site_code(site_code)
    if dp:
        check_point_name(dp)
    here = get(context)
    if not here.settings.database.url and (here.home / "site.db").exists():
        raise AlreadyExists(f"{here.home} is already initialised; nothing was changed")
    _refuse_after_a_loss(here)
    try:
        here.home.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotOpen(f"cannot make {here.home}: {error.strerror}; name another with --home") from None
    tightened = private_files.tighten_home(here.home)
    if tightened is not None:
        note(tightened)
    Library.create(here.content)
    text = _chosen(_chosen(default_text(), "url", database), "name", dp)
    if _write_if_new(here.config_file, text):
        here = Context(here.home, here.config_file)
    _agree(here, "database.url", here.settings.database.url, database)
    _agree(here, "point.name", here.settings.point.name, dp)
    # The database last: a home is initialised when it is there.
    print(_settled(here, site_code))
    print("this distribution point answers nobody until: pxefast dp set --enable-pxe --allow-pxe-response")


def _refuse_after_a_loss(here: Context) -> None:
    """A journal without its database is what is left of a site: making another one would hide that."""
    from pxefast.site.segment import JournalError, former_segments, read_header

    folder = here.home / "journal"
    try:
        if not (folder / "audit.log").exists() and not former_segments(folder):
            return
        since = f"record {read_header(folder / 'audit.log').seq}"
    except (CannotOpen, JournalError):
        since = "its beginning"
    except OSError as error:
        raise CannotOpen(f"cannot read {folder}: {error.strerror}; run as its owner") from None
    if here.settings.database.url and _holds_a_site(here):
        # A home that joins, or joins again.
        return
    raise CannotOpen(
        f"{here.home} has lost its database: there is none at {_where(here)}, and the journal in {folder} goes on "
        f"from {since}; put the newest backup in its place and run: pxefast reconcile; or, to begin "
        f"anew and forget what machines were given, move {folder} away first. Nothing was changed"
    )


def _where(here: Context) -> str:
    from pxefast.site.engines import database

    return database(here.database, here.settings.database.busy_seconds).where


def _holds_a_site(here: Context) -> bool:
    from pxefast.site.engines import database
    from pxefast.site.migrations import revision_of

    place = database(here.database, here.settings.database.busy_seconds)
    try:
        with place.transaction(change=False) as connection:
            return revision_of(connection) is not None
    finally:
        place.engine.dispose()


def _settled(here: Context, site_code: str) -> str:
    """Make the database, or join it; what was done."""
    from pxefast.site.store import Store, default_point

    busy_seconds = here.settings.database.busy_seconds
    point = here.settings.point.name or default_point()
    try:
        with Store.create(here.database, site_code, busy_seconds, point) as store:
            return f"initialised {here.home} for site {site_code}, distribution point {store.point}"
    except AlreadyExists:
        if not here.settings.database.url:
            raise
    with Store.open(here.database, busy_seconds) as store:
        try:
            store.dps.create(point, site_code)
        except NotFound:
            codes = ", ".join(row.code for row in store.sites.all())
            raise NotFound(
                f"{store.where} has no site {site_code}, only {codes}; make it first on a home that is there: "
                f"pxefast site create --code {site_code}"
            ) from None
        return f"{here.home} joined {store.where} for site {site_code}, distribution point {point}"


def _chosen(text: str, key: str, value: str) -> str:
    """The default settings with one that was chosen; its default stands there as a comment."""
    return text.replace(f'# {key} = ""', f"{key} = {json.dumps(value)}") if value else text


def _agree(here: Context, key: str, kept: str, asked: str) -> None:
    if asked and kept != asked:
        raise ConfigError(str(here.config_file), key, f"says {kept!r}, not {asked!r}; change it there first")


def _write_if_new(file: Path, text: str) -> bool:
    try:
        with file.open("x", encoding="utf-8") as writer:
            # It may hold the database's password.
            file.chmod(0o640)
            writer.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise CannotOpen(f"cannot write {file}: {error.strerror}; name another home with --home") from None
    return True
