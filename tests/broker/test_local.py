"""What only the local bus promises: confirms that mean settled, a socket for its owner alone, hostile bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.broker import connect
from longshore.broker.bus import Outgoing, Sent
from longshore.broker.local import LocalRouter
from longshore.broker.local_frames import LARGEST_BODY, FromBus, Hello, Publish, Unpacker, from_bus, pack
from longshore.broker.local_router import topic_pattern
from longshore.broker.local_socket import SocketBus, SocketServer, serve
from longshore.broker.tags import Tags
from longshore.core.envelope import Names
from longshore.core.errors import BrokerUnavailableError, DecodeError, SettingsError
from tests.broker.conftest import Inbox
from tests.support.wait import eventually

CONFIRMED = Sent(confirmed=True)


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ls-") as folder:  # pytest's own are too long for a socket
        yield Path(folder) / "bus.sock"


@pytest.fixture
async def server(path: Path, names: Names) -> AsyncIterator[SocketServer]:
    server = await serve(LocalRouter(names), path)
    yield server
    await server.close()


async def test_a_command_is_confirmed_only_when_it_is_settled(names: Names) -> None:
    bus = LocalRouter(names).bus()
    await bus.open(timeout=5)
    inbox = await Inbox().queue(bus, names.commands)
    commands = [Outgoing(names.commands, "trigger", body) for body in (b"1", b"2")]
    first, second = (asyncio.create_task(bus.publish([command], timeout=10)) for command in commands)
    await inbox.has(2)
    assert not first.done()
    inbox.consumer.settle(inbox.messages[0])
    assert await first == [CONFIRMED]
    assert not second.done()
    inbox.settle_all()
    assert await second == [CONFIRMED]
    await bus.close()


async def test_a_command_that_nobody_takes_is_not_confirmed_but_stays(names: Names) -> None:
    bus = LocalRouter(names).bus()
    await bus.open(timeout=5)
    [sent] = await bus.publish([Outgoing(names.commands, "trigger", b"x")], timeout=0.05)
    assert "not confirmed within 0.05 s" in sent.failed
    inbox = await Inbox().queue(bus, names.commands)
    await inbox.has(1)
    await bus.close()


async def test_the_socket_is_for_its_owner_alone(path: Path, server: SocketServer) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_socket_file_left_behind_is_replaced(path: Path, names: Names) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    server = await serve(LocalRouter(names), path)
    bus = connect(f"local:{path}", names)
    await bus.open(timeout=5)
    await bus.close()
    await server.close()
    await server.close()
    assert not path.exists()


async def test_a_path_that_is_served_already_is_refused(path: Path, server: SocketServer, names: Names) -> None:
    with pytest.raises(BrokerUnavailableError, match="served already"):
        await serve(LocalRouter(names), path)
    bus = SocketBus(path, names)
    await bus.open(timeout=5)  # the first one still serves
    await bus.close()


async def test_a_path_that_is_no_socket_is_left_alone(path: Path, names: Names) -> None:
    path.write_text("mine")
    with pytest.raises(BrokerUnavailableError, match="no socket can be made"):
        await serve(LocalRouter(names), path)
    assert path.read_text() == "mine"


async def test_a_path_too_long_for_a_socket_is_an_error_that_says_so(path: Path, names: Names) -> None:
    with pytest.raises(BrokerUnavailableError, match="too long for a socket"):
        await serve(LocalRouter(names), path.parent / ("x" * 120))


async def test_nobody_serving_is_an_error_within_the_timeout_naming_the_path(path: Path, names: Names) -> None:
    with pytest.raises(BrokerUnavailableError, match=str(path)):
        await SocketBus(path, names).open(timeout=0.3)


async def test_another_namespace_is_refused(path: Path, server: SocketServer, names: Names) -> None:
    with pytest.raises(BrokerUnavailableError, match=f"serves the namespace '{names.namespace}', not 'other'"):
        await SocketBus(path, Names("other")).open(timeout=0.3)


async def test_a_bus_finds_a_router_that_comes_back(path: Path, names: Names) -> None:
    server = await serve(LocalRouter(names), path)
    bus = SocketBus(path, names)
    await bus.open(timeout=5)
    inbox = await Inbox().private(bus, names.replies, "me")
    await server.close()
    await eventually(lambda: not bus.connected, within=5)
    [sent] = await bus.publish([Outgoing(names.replies, "me", b"x")], timeout=0.2)
    assert str(path) in sent.failed
    server = await serve(LocalRouter(names), path)
    assert await bus.publish([Outgoing(names.replies, "nobody", b"x")], timeout=10) == [Sent(returned=True)]
    assert inbox.bound == [1, 2]
    await bus.close()
    await server.close()


@pytest.mark.parametrize(
    "hostile",
    [
        b"\xff\xff\xff\xff" + b"x" * 100,
        b"\x00\x00\x00\x04\x91\x91\x91\x91",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x01\x90" * 10 + b"\x00\x00\x00\x05\xdd\xff\xff\xff\xff",
        b"\x00\x01\x00\x00" + b"\x91" * 65536,
    ],
)
async def test_bytes_that_are_no_frames_end_only_their_own_connection(
    path: Path, server: SocketServer, names: Names, hostile: bytes
) -> None:
    bus = SocketBus(path, names)
    await bus.open(timeout=5)
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(hostile)
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await asyncio.wait_for(reader.readexactly(1), 5)
    assert caught.value.partial == b""
    writer.close()
    inbox = await Inbox().private(bus, names.replies, "me")
    assert await bus.publish([Outgoing(names.replies, "me", b"x")], timeout=5) == [CONFIRMED]
    assert inbox.bound == [1]
    await bus.close()


async def test_a_body_over_the_largest_fails_alone(names: Names) -> None:
    bus = LocalRouter(names).bus()
    await bus.open(timeout=5)
    await Inbox().private(bus, names.replies, "me")
    large = Outgoing(names.replies, "me", bytes(LARGEST_BODY + 1))
    sent = await bus.publish([large, Outgoing(names.replies, "me", b"x")], timeout=5)
    assert "over the largest" in sent[0].failed
    assert sent[1] == CONFIRMED
    await bus.close()


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match="LONGSHORE_BROKER_URL"):
        connect("redis://here", Names("n"))


# ---------------------------------------------------------------------------------------------------------- pure parts


@given(st.lists(st.integers(0, 300), max_size=12), st.lists(st.integers(1, 700), min_size=1, max_size=20))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sizes: list[int], cuts: list[int]) -> None:
    frames: list[FromBus] = [Hello("n", 1)]
    frames += (Publish(number, "e", "k", bytes(size), {}, "", "", "", "", True) for number, size in enumerate(sizes))
    data = b"".join(pack(frames))
    unpacker, position = Unpacker(from_bus), 0
    found: list[FromBus] = []
    for index in range(len(data)):
        step = cuts[index % len(cuts)]
        found += unpacker.feed(data[position : position + step])
        position += step
        if position >= len(data):
            break
    assert found == frames


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_an_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        Unpacker(from_bus).feed(data)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=40))
def test_only_outstanding_tags_are_acknowledged_and_each_once(asked: list[tuple[bool, int]]) -> None:
    tags, outstanding = Tags(), set(range(1, 13))
    covered: set[int] = set()
    for settle, tag in asked:
        if settle:
            told = tags.settle(tag)
            assert told == max((left for left in outstanding if left <= tag), default=0)
            outstanding -= set(range(1, tag + 1))
            covered |= set(range(1, tag + 1))
        elif tags.reject(tag):
            assert tag in outstanding
            outstanding.discard(tag)
            covered.add(tag)
        else:
            assert tag in covered


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("a.b", ["a.b"], ["a", "a.b.c", "axb"]),
        ("a.*", ["a.b", "a.c"], ["a", "a.b.c", "b.a"]),
        ("a.#", ["a", "a.b", "a.b.c"], ["ab", "b.a"]),
        ("#.z", ["z", "a.z", "a.b.z"], ["az", "z.a"]),
        ("#", ["", "a", "a.b"], []),
        ("a.#.z", ["a.z", "a.b.z", "a.b.c.z"], ["a", "z", "a.zz"]),
    ],
)
def test_topic_patterns(pattern: str, fits: list[str], fits_not: list[str]) -> None:
    expression = topic_pattern(pattern)
    assert [key for key in [*fits, *fits_not] if expression.fullmatch(f"{key}.")] == fits
