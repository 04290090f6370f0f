"""The content source in an S3 bucket, against moto's server: a widely used imitation, not Amazon's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from pxefast.config import Content
from pxefast.content.depot import Depot
from pxefast.content.library import Library
from pxefast.errors import ContentError

from .stock import Stock, is_whole, package, write_image


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def bucket(endpoint: str) -> str:
    import boto3

    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket="content")
    return "s3://content/site"


def test_an_image_is_packaged_into_a_bucket_and_brought_from_it(endpoint: str, tmp_path: Path) -> None:
    options = {
        "endpoint": endpoint, "region": "us-east-1", "access_key_id": "key", "secret_access_key": "secret",
    }  # fmt: skip
    url = bucket(endpoint)
    here = Stock(Depot(Content(source=url, options=options), tmp_path), Library.create(tmp_path / "content"))
    source = write_image(tmp_path / "image", 13)
    version = package(here.depot, source)
    assert package(here.depot, source) == version, "what is there is not put there again"
    here.bring(version)
    assert is_whole(here.library, source)
    (source / "boot.efi").write_bytes(b"newer")
    newer = package(here.depot, source, version=2, verify=True)
    here.bring(newer)
    assert is_whole(here.library, source)
    here.depot.prune("PS100001", 2, [])
    with pytest.raises(ContentError, match="has no manifests"):
        here.bring(version)
    here.bring(newer)
    with pytest.raises(ContentError, match="s3://other"):
        Depot(Content(source="s3://other", options=options), tmp_path).manifest(*newer)
