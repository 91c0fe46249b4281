"""One S3 server for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from longshore.payloads.folder import FolderStore
from longshore.payloads.store import PayloadStore
from tests.support.s3 import S3Server, s3_server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.service)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PayloadStore]:
    if request.param == "folder":
        yield FolderStore(tmp_path / "payloads")
        return
    server: S3Server = request.getfixturevalue("s3")
    opened = server.store(prefix=f"{tmp_path.name}/")
    yield opened
    opened.close()
