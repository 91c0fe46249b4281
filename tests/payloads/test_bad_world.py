"""Stores that fail: the error says what is wrong, and comes in bounded time."""

import os
import time
from pathlib import Path

import pytest

from longshore.core.errors import PayloadUnavailable, SettingsError
from longshore.payloads import Cargo, open_store
from longshore.payloads.folder import FolderStore, folder_of
from longshore.payloads.s3 import PART, S3Store
from longshore.serialization.values import encode
from tests.support.s3 import S3Server, broken_server, free_port, options

BOUND = 20.0


def impatient(url: str) -> S3Store:
    return S3Store(options(url, connect_timeout=0.5, read_timeout=0.5, attempts=2))


@pytest.mark.parametrize("behaviour", ["503", "cut", "silent", "403"])
def test_a_store_that_misbehaves_is_unavailable_within_a_bound(behaviour: str) -> None:
    with broken_server(behaviour) as url:
        store = impatient(url)
        began = time.monotonic()
        with pytest.raises(PayloadUnavailable, match=url), store.open("runs/a"):
            pass
        assert time.monotonic() - began < BOUND
        store.close()


@pytest.mark.parametrize("behaviour", ["503", "silent", "403"])
@pytest.mark.parametrize("size", [100_000, 2 * PART])
def test_an_upload_to_a_store_that_misbehaves_fails_within_a_bound(behaviour: str, size: int) -> None:
    with broken_server(behaviour) as url:
        store = impatient(url)
        began = time.monotonic()
        with pytest.raises(PayloadUnavailable):
            Cargo(store).stow(encode(b"x" * size), "runs/a")
        assert time.monotonic() - began < BOUND
        store.close()


def test_a_dead_endpoint_is_unavailable_and_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    store = impatient(url)
    with pytest.raises(PayloadUnavailable, match=url):
        store.exists("runs/a")
    store.close()


@pytest.mark.service
def test_a_bucket_that_does_not_exist_is_said(s3: S3Server) -> None:
    store = S3Store(options(s3.url, bucket="nowhere"))
    with pytest.raises(PayloadUnavailable, match="no such bucket"):
        store.put("runs/a", [b"x"], 1)
    with pytest.raises(PayloadUnavailable, match="no such bucket"), store.open("runs/a"):
        pass
    store.close()


@pytest.mark.service
def test_a_forked_process_makes_a_client_of_its_own(s3: S3Server) -> None:
    store = s3.store(prefix="fork/")
    store.put("a", [b"x"], 1)
    child = os.fork()
    if child == 0:
        try:
            store.put("b", [b"y" * (2 * PART)], 2 * PART)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert store.exists("b")
    store.close()


def test_a_folder_that_is_gone_is_unavailable_not_corrupt(tmp_path: Path) -> None:
    with pytest.raises(PayloadUnavailable, match="mounted"), FolderStore(tmp_path / "gone").open("runs/a"):
        pass


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(PayloadUnavailable, match="does not work"):
        FolderStore(tmp_path / "file").put("runs/a", [b"x"], 1)


def test_a_broken_upload_leaves_no_partial_file(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(TypeError):
        store.put("runs/a", [b"x", None], 2)  # type: ignore[list-item]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("url", "folder"),
    [("file:a/b", "a/b"), ("file:/a/b", "/a/b"), ("file:///a/b%20c", "/a/b c"), ("file://localhost/a", "/a")],
)
def test_folder_urls_are_read(url: str, folder: str) -> None:
    assert folder_of(url) == Path(folder)


@pytest.mark.parametrize("url", ["", "file:", "file://host/a", "http://x/y", "s3:", "s3://", "s3://b/../c", "/tmp/x"])
def test_other_urls_are_refused_naming_the_setting(url: str) -> None:
    with pytest.raises(Exception, match=r"LONGSHORE_PAYLOAD_URL|refused") as caught:
        open_store(url)
    assert isinstance(caught.value, SettingsError) or "refused" in str(caught.value)


def test_a_folder_keeps_no_empty_folders_and_takes_objects_while_they_go(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "payloads")
    for key in ("runs/a/1", "runs/a/2", "runs/b/1"):
        store.put(key, [b"x"], 1)
    store.delete("runs/a/1")
    assert (tmp_path / "payloads/runs/a").is_dir()
    store.delete("runs/a/2")
    store.delete("runs/a/2")
    assert [one.name for one in (tmp_path / "payloads/runs").iterdir()] == ["b"]
    store.delete("runs/b/1")
    assert [*(tmp_path / "payloads").iterdir()] == []
    store.put("runs/b/1", [b"x"], 1)
    assert store.exists("runs/b/1")
