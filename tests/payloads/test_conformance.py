"""What every payload store must do: the same sentences for a folder and for a real S3 server."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from longshore.core.errors import PayloadCorrupt
from longshore.core.message import ClaimCheck
from longshore.payloads import AsyncCargo, Cargo, read_probe, write_probe
from longshore.payloads.s3 import PART
from longshore.payloads.store import PayloadStore
from longshore.serialization.values import encode


def read_all(store: PayloadStore, key: str) -> bytes:
    with store.open(key) as reader:
        return reader.read(reader.size + 1)


@pytest.mark.parametrize("size", [1, 1000, PART - 1, PART, PART + 1, 3 * PART + 17])
def test_what_was_put_comes_back_whole(store: PayloadStore, size: int) -> None:
    body = hashlib.shake_128(str(size).encode()).digest(size)
    store.put("runs/a/1", [body[: size // 3], memoryview(body)[size // 3 :]], size)
    assert read_all(store, "runs/a/1") == body
    with store.open("runs/a/1") as reader:
        assert reader.size == size
        target = bytearray(size)
        done = 0
        while count := reader.readinto(memoryview(target)[done:]):
            done += count
        assert target == body
        assert reader.read(1) == b""


def test_putting_again_replaces(store: PayloadStore) -> None:
    store.put("cas/x", [b"one"], 3)
    store.put("cas/x", [b"second"], 6)
    assert read_all(store, "cas/x") == b"second"


def test_an_object_exists_until_it_is_deleted_and_deleting_twice_is_harmless(store: PayloadStore) -> None:
    assert not store.exists("runs/b")
    store.put("runs/b", [b"x"], 1)
    assert store.exists("runs/b")
    store.delete("runs/b")
    store.delete("runs/b")
    assert not store.exists("runs/b")


def test_a_missing_object_is_named(store: PayloadStore) -> None:
    store.put("runs/there", [b"x"], 1)
    with pytest.raises(PayloadCorrupt, match=r"'runs/none' is missing"):
        read_all(store, "runs/none")


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", "a\\b", ".hidden", "a/.partial-1", "a b", "ä", "a\n", "a\0"],
)
def test_a_key_that_points_elsewhere_is_refused(store: PayloadStore, key: str) -> None:
    for attempt in (lambda: store.put(key, [b"x"], 1), lambda: read_all(store, key), lambda: store.exists(key)):
        with pytest.raises(PayloadCorrupt, match="refused"):
            attempt()
    with pytest.raises(PayloadCorrupt, match="refused"):
        store.delete(key)


@pytest.mark.parametrize("size", [100, 2 * PART])
def test_an_upload_that_breaks_off_leaves_nothing(store: PayloadStore, size: int) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * (size - 1)
        raise RuntimeError("the source ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        store.put("runs/half", chunks(), size)
    assert not store.exists("runs/half")


@pytest.mark.parametrize("size", [100, 2 * PART])
def test_chunks_of_another_size_than_announced_are_refused(store: PayloadStore, size: int) -> None:
    with pytest.raises(PayloadCorrupt, match=f"should be {size} bytes, found {size - 1}"):
        store.put("runs/short", [b"x" * (size - 1)], size)
    assert not store.exists("runs/short")


def test_many_threads_use_one_store(store: PayloadStore) -> None:
    def there_and_back(number: int) -> bool:
        body = bytes([number]) * 100_000
        store.put(f"runs/t{number}", [body], len(body))
        return read_all(store, f"runs/t{number}") == body

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(40)))


# ------------------------------------------------------------------------------------------------------ claim checks


def test_a_small_value_travels_inline_and_a_large_one_as_a_claim_check(store: PayloadStore) -> None:
    cargo = Cargo(store)
    assert cargo.stow(encode([1, 2]), "runs/r1") == encode([1, 2]).inline()
    large = {"data": b"x" * 100_000, "more": list(range(50_000))}
    check = cargo.stow(encode(large), "runs/r1")
    assert isinstance(check, ClaimCheck)
    assert check.key.startswith("runs/r1/")
    assert cargo.load(check) == large
    assert cargo.load(cargo.stow(encode(3), "runs/r1")) == 3


def test_every_upload_has_a_key_of_its_own(store: PayloadStore) -> None:
    cargo = Cargo(store, inline_limit=0)
    first, second = (cargo.stow(encode("same"), "runs/r2") for _ in range(2))
    assert isinstance(first, ClaimCheck)
    assert isinstance(second, ClaimCheck)
    assert first.key != second.key
    assert first.sha256 == second.sha256


def test_other_bytes_of_the_same_size_are_corrupt(store: PayloadStore) -> None:
    cargo = Cargo(store)
    check = cargo.stow(encode(b"x" * 100_000), "runs/r3")
    assert isinstance(check, ClaimCheck)
    whole = bytearray(read_all(store, check.key))
    whole[-1] ^= 1
    store.put(check.key, [whole], len(whole))
    found = hashlib.sha256(whole).hexdigest()
    with pytest.raises(PayloadCorrupt, match=f"{check.key}.*{check.sha256}.*{found}"):
        cargo.load(check)


def test_bytes_that_cannot_even_be_decoded_are_told_as_corrupt(store: PayloadStore) -> None:
    cargo = Cargo(store)
    check = cargo.stow(encode(b"x" * 100_000), "runs/r4")
    assert isinstance(check, ClaimCheck)
    store.put(check.key, [b"\xff" * check.size], check.size)
    with pytest.raises(PayloadCorrupt, match="should have sha256"):
        cargo.load(check)


def test_a_truncated_object_is_corrupt(store: PayloadStore) -> None:
    cargo = Cargo(store)
    check = cargo.stow(encode(b"x" * 100_000), "runs/r5")
    assert isinstance(check, ClaimCheck)
    store.put(check.key, [b"x"], 1)
    with pytest.raises(PayloadCorrupt, match="found 1"):
        cargo.load(check)


def test_a_deleted_object_is_corrupt(store: PayloadStore) -> None:
    cargo = Cargo(store)
    check = cargo.stow(encode(b"x" * 100_000), "runs/r6")
    assert isinstance(check, ClaimCheck)
    store.delete(check.key)
    with pytest.raises(PayloadCorrupt, match="missing"):
        cargo.load(check)


def test_a_probe_written_by_one_is_read_by_another(store: PayloadStore) -> None:
    check = write_probe(store, "worker-1")
    read_probe(store, check)
    write_probe(store, "worker-1")
    with pytest.raises(PayloadCorrupt):
        read_probe(store, check)
    with pytest.raises(PayloadCorrupt, match="no probe"):
        read_probe(store, ClaimCheck(key="runs/r1/x", size=64, sha256=check.sha256))


async def test_the_async_face_does_the_same(store: PayloadStore) -> None:
    cargo = AsyncCargo(Cargo(store))
    try:
        large = [b"y" * 200_000]
        check = await cargo.stow(encode(large), "runs/r7")
        assert isinstance(check, ClaimCheck)
        assert await cargo.load(check) == large
        assert await cargo.load(await cargo.stow(encode(1), "runs/r7")) == 1
        await cargo.read_probe(await cargo.write_probe("w"))
    finally:
        await cargo.close()
        await cargo.close()
