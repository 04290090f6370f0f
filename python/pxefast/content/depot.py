"""The content source of a site: what was packaged, in a folder, on a web server or in an S3 bucket.

    blobs/<aa>/<sha256>                      files by their content
    manifests/<ID>/<version>-<sha256>.json   written last; the SHA-256 is that of its own bytes

Nothing here is trusted: whoever reads compares with hashes that the site database holds.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from pxefast import named_files
from pxefast.config import Content
from pxefast.content.durable import sync
from pxefast.content.manifest import Manifest, ManifestFile, blob_path, decode
from pxefast.errors import CannotOpen, ContentError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["Depot"]

_RETRIES = 4
# All certificates of a system's store are 250 KB.
_LARGEST_CERTIFICATES = 16 << 20
_MANIFEST = re.compile(r"manifests/(?P<image>[^/]+)/(?P<version>\d+)-[0-9a-f]{64}\.json", re.ASCII)
# Nobody writes a part of a file for so long.
_ABANDONED_SECONDS = 86_400.0


class Depot:
    """A content source. `folder` is where it is, if it is a folder of this host; `where` names it for people.

    Raises CannotOpen for a source that cannot be one.
    """

    def __init__(self, settings: Content, default: Path) -> None:
        url = settings.source or f"file://{quote(str(default))}"
        parts = urlsplit(url)
        # Who may see what went wrong need not know the password that is in an address.
        self._secret = parts.netloc.rpartition("@")[0]
        self.where = self._public(url)
        self.folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        # A web server takes no files.
        self.writable = parts.scheme in ("file", "s3")
        try:
            self._store = _store(url, parts.scheme, settings)
        except Exception as error:  # the library has errors of many kinds
            raise CannotOpen(
                f"the content source {self.where} cannot be used: {self._short(error)}; see [content] in pxefast.toml"
            ) from None

    def manifest(self, image_id: str, version: int, sha256: str) -> Manifest:
        """A packaged version, as the site database knows it by its hash. Raises ContentError."""
        path = _manifest_path(image_id, version, sha256)
        with self._told(path):
            import obstore

            data = bytes(obstore.get(self._store, path).bytes())
        return decode(data, sha256, f"{path} in the content source {self.where}")

    def chunk(self, sha256: str, start: int, length: int) -> memoryview:
        """A part of a blob, unverified; shorter where the blob is. Raises ContentError."""
        path = blob_path(sha256)
        with self._told(path):
            import obstore

            return memoryview(obstore.get_range(self._store, path, start=start, length=length))

    def holds(self, file: ManifestFile) -> bool:
        """Whether there is a blob of this file's name and size. Raises ContentError."""
        import obstore

        path = blob_path(file.sha256)
        with self._told(path):
            try:
                return bool(obstore.head(self._store, path)["size"] == file.size)
            except FileNotFoundError:
                return False

    def intact(self, file: ManifestFile) -> bool:
        """Whether there is a blob with this file's very bytes. Raises ContentError."""
        return self.holds(file) and all(
            hashlib.sha256(self.chunk(file.sha256, start, length)).hexdigest() == digest
            for start, length, digest in file.ranges()
        )

    def put_blob(self, sha256: str, chunks: Iterable[bytes]) -> None:
        """Add a file; durable when it returns, and not there at all if `chunks` raises. Raises ContentError."""
        self._put(blob_path(sha256), iter(chunks))

    def put_manifest(self, image_id: str, version: int, sha256: str, data: bytes) -> None:
        """Add a packaged version; all its blobs must be there. Raises ContentError."""
        self._put(_manifest_path(image_id, version, sha256), data)

    def prune(self, image_id: str, newest: int | None, keep: Iterable[tuple[int, str]]) -> None:
        """Delete an image's versions before `newest` that nobody is to `keep`, and the blobs that only they need.

        And whatever was left half written. `newest` None: all. `keep` has (version, SHA-256 of the manifest). What
        others keep in this source stays. Raises ContentError.
        """
        import obstore

        self._clear()
        kept = {_manifest_path(image_id, version, sha256) for version, sha256 in keep}
        with self._told("manifests"):
            listed = [meta["path"] for part in obstore.list(self._store, "manifests/") for meta in part]
            found = {path: match for path in listed if (match := _MANIFEST.fullmatch(path))}
            old = [
                path
                for path, match in found.items()
                if match["image"] == image_id
                and path not in kept
                and (newest is None or int(match["version"]) < newest)
            ]
            if not old:
                return
            needed = {blob for path in found if path not in old for blob in self._blobs(path)}
            spare = {blob for path in old for blob in self._blobs(path)} - needed
            for path in (*old, *sorted(spare)):
                obstore.delete(self._store, path)

    def _blobs(self, path: str) -> set[str]:
        """The blobs that a manifest names; none where it is damaged, for nobody can bring that."""
        import obstore

        data = bytes(obstore.get(self._store, path).bytes())
        sha256 = path.rpartition("-")[2].removesuffix(".json")
        if hashlib.sha256(data).hexdigest() != sha256:
            return set()
        return {blob_path(file.sha256) for file in decode(data, sha256, path).files}

    def _put(self, path: str, data: bytes | Iterator[bytes]) -> None:
        with self._told(path):
            import obstore

            obstore.put(self._store, path, data)
            if self.folder is not None:
                # The library renames, but does not flush.
                target = self.folder / path
                for each in (target, *target.relative_to(self.folder).parents):
                    sync(self.folder / each)

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """What goes wrong, as a sentence."""
        try:
            yield
        except ContentError:
            raise
        except FileNotFoundError:
            raise ContentError(
                f"the content source {self.where} has no {path}; does [content] source in pxefast.toml name the source "
                "that the image was packaged into?"
            ) from None
        except Exception as error:  # the library has errors of many kinds
            raise ContentError(f"the content source {self.where}: {path}: {self._short(error)}") from None

    def _short(self, error: Exception) -> str:
        """The first line of an error: what follows is of use to the library's authors alone."""
        return self._public(next(iter(str(error).splitlines()), "")) or type(error).__name__

    def _public(self, text: str) -> str:
        return text.replace(f"{self._secret}@", "") if self._secret else text

    def _clear(self) -> None:
        """Remove the parts of blobs that somebody who was killed left in a folder: the library never does."""
        if self.folder is None:
            return
        old = time.time() - _ABANDONED_SECONDS
        for part in (self.folder / "blobs").glob("??/*#*"):
            with suppress(FileNotFoundError):
                if part.stat().st_mtime < old:
                    part.unlink()


def _certificates(file: str) -> bytes:
    try:
        return named_files.read_bytes(file, _LARGEST_CERTIFICATES)
    except OSError as error:
        raise CannotOpen(
            f"cannot read {file}: {error.strerror}; see content.ca_file in pxefast.toml"
        ) from None


def _store(url: str, scheme: str, settings: Content) -> ObjectStore:
    from obstore.store import HTTPStore, LocalStore, S3Store

    if scheme == "file":
        return LocalStore(unquote(urlsplit(url).path), mkdir=True)
    seconds = timedelta(seconds=settings.timeout_seconds)
    client: Any = {"allow_http": True, "timeout": seconds * 4, "read_timeout": seconds}
    client["connect_timeout"] = seconds
    if settings.ca_file:
        client["root_certificate"] = _certificates(settings.ca_file)
    retry: Any = {
        "max_retries": _RETRIES,
        "retry_timeout": seconds * 4,
        "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": seconds, "base": 2},
    }
    if scheme == "s3":
        options: Any = settings.options
        return S3Store.from_url(url, config=options, client_options=client, retry_config=retry)
    return HTTPStore(url, client_options=client, retry_config=retry)


def _manifest_path(image_id: str, version: int, sha256: str) -> str:
    return f"manifests/{image_id}/{version}-{sha256}.json"
