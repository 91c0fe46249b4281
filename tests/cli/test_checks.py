"""Each check of `longshore doctor`, with exactly that thing broken for real, and the advice it gives."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from longshore.cli import checks
from longshore.settings import Settings, load


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, no settings in the environment."""
    for name in list(os.environ):
        if name.startswith("LONGSHORE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def listening_at(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield


def test_a_variable_that_is_no_setting_is_named_with_the_nearest_one() -> None:
    found = checks.check_variables(["PATH", "LONGSHORE_LEASE", "LONGSHORE_BROKER_ULR"])
    assert (found.state, found.text) == (
        "warn",
        "LONGSHORE_BROKER_ULR is no setting; did you mean LONGSHORE_BROKER_URL, LONGSHORE_STORE_URL?",
    )
    assert "unset" in found.advice
    assert checks.check_variables(["PATH", "LONGSHORE_LEASE"]).state == "ok"


def test_a_port_that_takes_connections_is_fine(here: Path) -> None:
    with listening() as port:
        assert checks.check_address(f"amqp://guest:guest@127.0.0.1:{port}/").state == "ok"


def test_a_closed_port_is_named_with_what_to_start(here: Path) -> None:
    with listening() as port:
        pass
    found = checks.check_address(f"amqp://guest:secret@127.0.0.1:{port}/")
    assert (found.state, f"127.0.0.1:{port}" in found.text) == ("fail", True)
    assert "LONGSHORE_BROKER_URL" in found.advice
    assert "longshore dev" in found.advice
    assert "secret" not in found.text + found.advice


def test_an_unknown_host_is_named(here: Path) -> None:
    found = checks.check_address("amqp://guest:guest@no-such-host.invalid/")
    assert found.state == "fail"
    assert "no-such-host.invalid" in found.text
    assert "host in LONGSHORE_BROKER_URL" in found.advice


def test_a_local_bus_that_nobody_serves_asks_for_dev(here: Path) -> None:
    assert checks.check_address("local:.longshore/bus.sock").state == "fail"
    assert "longshore dev" in checks.check_address("local:.longshore/bus.sock").advice


def test_a_stale_socket_file_does_not_count_as_a_bus(here: Path) -> None:
    with listening_at(here / "bus.sock"):
        assert checks.check_address("local:bus.sock").state == "ok"
    assert (here / "bus.sock").exists()
    assert checks.check_address("local:bus.sock").state == "fail"


def test_a_socket_open_to_others_is_a_failure(here: Path) -> None:
    path = here / "bus.sock"
    with listening_at(path):
        path.chmod(0o600)
        assert checks.check_socket("local:bus.sock").state == "ok"
        path.chmod(0o666)
        found = checks.check_socket("local:bus.sock")
        assert (found.state, found.advice.startswith("`chmod 600 bus.sock`")) == ("fail", True)


def test_a_file_in_the_sockets_place_is_named(here: Path) -> None:
    (here / "bus.sock").write_text("not a socket")
    assert "remove bus.sock" in checks.check_socket("local:bus.sock").advice


def test_closed_folders_are_fine(here: Path) -> None:
    (here / ".longshore").mkdir(mode=0o700)
    assert checks.check_folders(load()).state == "ok"


def test_a_folder_that_others_may_write_is_a_failure(here: Path) -> None:
    (here / ".longshore").mkdir()
    (here / ".longshore").chmod(0o777)
    found = checks.check_folders(load())
    assert found.state == "fail"
    assert "chmod 700 .longshore" in found.advice


def test_a_folder_that_others_may_read_is_a_warning(here: Path) -> None:
    (here / ".longshore").mkdir()
    (here / ".longshore").chmod(0o755)
    assert checks.check_folders(load()).state == "warn"


def test_a_folder_that_cannot_be_written_is_named_with_its_variable(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGSHORE_STORE_URL", "sqlite:////proc/longshore/ledger.db")  # read-only even for root
    found = checks.check_folders(load())
    assert found.state == "fail"
    assert "/proc cannot be written" in found.text
    assert "LONGSHORE_STORE_URL" in found.advice


Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mounts disks of a size, which takes root: a disk that is nearly full cannot be had otherwise."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "longshore-test", str(folder)]
        if sys.platform != "linux" or os.geteuid() != 0:
            pytest.skip("only root on Linux can mount a small disk")
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], timeout=20, check=True)


def test_a_disk_with_little_room_is_told_before_it_stops_anything(disk: Disk) -> None:
    folder = disk("1m")
    found = checks.check_free_disk(load(store_url=f"sqlite:///{folder}/ledger.db"))
    assert (found.state, found.text) == ("fail", f"1 MiB free in {folder}")
    assert f"`df -h {folder}`" in found.advice
    assert "LONGSHORE_STORE_URL" in found.advice
    assert "stops the coordinator (nothing is lost)" in found.advice


def test_a_disk_that_gets_full_is_a_warning(disk: Disk) -> None:
    folder = disk("500m")
    found = checks.check_free_disk(load(store_url=f"sqlite:///{folder}/later/ledger.db"))
    assert (found.state, found.text) == ("warn", f"500 MiB free in {folder}")
    assert "before it is needed" in found.advice


def test_payloads_on_a_disk_of_their_own_are_looked_at_too(here: Path, disk: Disk) -> None:
    folder = disk("1m")
    found = checks.check_free_disk(load(payload_url=f"file:{folder}/payloads"))
    assert (found.state, found.text) == ("fail", f"1 MiB free in {folder}")
    assert "LONGSHORE_PAYLOAD_URL" in found.advice


def test_a_disk_with_room_is_fine(disk: Disk) -> None:
    folder = disk("2g")
    found = checks.check_free_disk(load(store_url=f"sqlite:///{folder}/l.db", payload_url=f"file:{folder}/p"))
    assert (found.state, found.advice) == ("ok", "")


def test_a_payload_folder_on_a_full_disk_asks_for_room(disk: Disk) -> None:
    folder = disk("64k")
    with contextlib.suppress(OSError), (folder / "others").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    settings: Settings = load(payload_url=f"file:{folder}/payloads")
    found = checks.check_storage(settings)
    assert found.state == "fail"
    assert "No space left on device" in found.text
    assert "make room" in found.advice
    assert "0 MiB" in checks.check_free_disk(settings).text


def test_a_payload_folder_is_written_read_and_left_as_it_was(here: Path) -> None:
    assert checks.check_storage(load()).state == "ok"
    assert not [path for path in (here / ".longshore").rglob("*") if path.is_file()]


def test_a_file_where_the_payload_folder_should_be_is_a_failure(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "payloads").write_text("in the way")
    monkeypatch.setenv("LONGSHORE_PAYLOAD_URL", f"file:{here}/payloads")
    found = checks.check_storage(load())
    assert found.state == "fail"
    assert "LONGSHORE_PAYLOAD_URL" in found.advice


def make_ledger(url: str) -> None:
    from longshore.coordinator.store.engines import engine
    from longshore.coordinator.store.migrating import upgrade

    made = engine(url)
    with made.begin() as connection:
        upgrade(connection)
    made.dispose()


def test_a_database_that_is_not_there_yet_is_fine_and_is_not_made(here: Path) -> None:
    assert checks.check_database(load()).state == "ok"
    assert not (here / ".longshore").exists()


def test_a_ledger_with_its_tables_is_fine(here: Path) -> None:
    (here / ".longshore").mkdir()
    make_ledger("sqlite:///.longshore/ledger.db")
    found = checks.check_database(load())
    assert (found.state, "up to date" in found.text) == ("ok", True)


def test_a_foreign_file_in_the_databases_place_is_a_failure(here: Path) -> None:
    (here / ".longshore").mkdir()
    (here / ".longshore" / "ledger.db").write_text("my shopping list, long enough to be read as a page\n" * 100)
    found = checks.check_database(load())
    assert found.state == "fail"
    assert "not a database" in found.text
    assert "LONGSHORE_STORE_URL" in found.advice


def test_somebody_elses_database_is_a_failure(here: Path) -> None:
    (here / ".longshore").mkdir()
    with contextlib.closing(sqlite3.connect(here / ".longshore" / "ledger.db")) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    found = checks.check_database(load())
    assert found.state == "fail"
    assert "recipes" in found.text


def test_a_database_of_a_newer_version_is_a_failure(here: Path) -> None:
    (here / ".longshore").mkdir()
    make_ledger("sqlite:///.longshore/ledger.db")
    with contextlib.closing(sqlite3.connect(here / ".longshore" / "ledger.db")) as newer:
        newer.execute("UPDATE alembic_version SET version_num = 'r9999'")
        newer.commit()
    found = checks.check_database(load())
    assert found.state == "fail"
    assert "newer version" in found.text


def test_a_database_that_somebody_else_keeps_locked_is_a_failure(here: Path) -> None:
    (here / ".longshore").mkdir()
    make_ledger("sqlite:///.longshore/ledger.db")
    with contextlib.closing(sqlite3.connect(here / ".longshore" / "ledger.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        found = checks.check_database(load())
        assert found.state == "fail"
        assert "locked" in found.text
        assert "another process" in found.advice
