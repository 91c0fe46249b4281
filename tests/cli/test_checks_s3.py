"""The storage check against a real S3 server, broken one thing at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from longshore.cli import checks
from longshore.settings import Settings, load
from tests.support.s3 import BUCKET, S3Server, broken_server, free_port, s3_server

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


def settings(endpoint: str, bucket: str = BUCKET) -> Settings:
    return load(
        payload_url=f"s3://{bucket}/prefix",
        s3_endpoint_url=endpoint,
        s3_region="us-east-1",
        s3_access_key_id="test",
        s3_secret_access_key="test",
        s3_addressing_style="path",
    )


def test_a_bucket_that_works_is_fine(s3: S3Server) -> None:
    found = checks.check_storage(settings(s3.url))
    assert (found.state, found.advice) == ("ok", "")


def test_a_missing_bucket_is_a_failure_that_names_the_setting(s3: S3Server) -> None:
    found = checks.check_storage(settings(s3.url, "nobody-made-this"))
    assert found.state == "fail"
    assert "nobody-made-this" in found.text
    assert "bucket exists" in found.advice
    assert "LONGSHORE_PAYLOAD_URL" in found.advice


def test_a_dead_endpoint_is_a_failure_within_a_bounded_time(s3: S3Server) -> None:
    found = checks.check_storage(settings(f"http://127.0.0.1:{free_port()}"))
    assert found.state == "fail"
    assert "LONGSHORE_S3_ENDPOINT_URL" in found.advice


def test_refused_credentials_point_at_the_keys() -> None:
    with broken_server("403") as url:
        found = checks.check_storage(settings(url))
    assert found.state == "fail"
    assert "LONGSHORE_S3_SECRET_ACCESS_KEY" in found.advice
