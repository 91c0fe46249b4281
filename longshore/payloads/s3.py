"""A payload store in S3 or anything that speaks it. It holds at most a few parts of an object in memory.

Uploads over one part are multipart, downloads are ranges fetched ahead; a range that breaks off is fetched again.
boto3 (200 ms to import) is loaded with the first request; client and threads belong to the process that made them, so
a fork makes its own.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from longshore.core.errors import PayloadCorrupt, PayloadUnavailable, SettingsError
from longshore.payloads.store import Buffer, Reader, check_key, missing, wrong_size

PART: Final = 8 << 20
_MOST_PARTS: Final = 9_000  # S3 allows 10,000
_AHEAD: Final = 3
_THREADS: Final = 8
_BODY_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """Where the bucket is and how patient to be; None means boto3's own way (environment, profile, instance role)."""

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    addressing_style: str | None = None
    connect_timeout: float = 3.0
    read_timeout: float = 10.0
    attempts: int = 3
    request_checksums: str = "when_required"
    response_checksums: str = "when_required"


class S3Store:
    """Objects in one bucket, below a prefix."""

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def put(self, key: str, chunks: Iterable[Buffer], size: int) -> None:
        """See PayloadStore."""
        with self._answering(key) as (connection, where):
            if size <= PART:
                body = b"".join(chunks)
                if len(body) != size:
                    raise wrong_size(key, size, len(body))
                connection.client.put_object(**where, Body=body)
            else:
                _Upload(connection, where).send(key, chunks, size)

    @contextmanager
    def open(self, key: str) -> Iterator[Reader]:
        """See PayloadStore."""
        with self._answering(key) as (connection, where):
            reader = _RangeReader(self, key, connection, where)
        try:
            yield reader
        finally:
            reader.close()

    def exists(self, key: str) -> bool:
        """See PayloadStore."""
        check_key(key)
        try:
            with self._answering(key) as (connection, where):
                connection.client.head_object(**where)
        except PayloadCorrupt:
            return False
        return True

    def delete(self, key: str) -> None:
        """See PayloadStore."""
        with self._answering(key) as (connection, where):
            connection.client.delete_object(**where)

    def close(self) -> None:
        """Let the threads go. The store may be used again afterwards."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None and connection.process == os.getpid():
            connection.pool.shutdown(wait=True, cancel_futures=True)

    @contextmanager
    def _answering(self, key: str) -> Iterator[tuple[_Connection, dict[str, str]]]:
        """The connection and the place of the key; what botocore raises becomes an error of ours."""
        where = {"Bucket": self._options.bucket, "Key": self._options.prefix + check_key(key)}
        connection = self._connect()
        try:
            yield connection, where
        except connection.client_error as error:
            raise self._refusal(key, error) from error
        except connection.unreachable as error:
            raise PayloadUnavailable(f"{self._place()} does not answer for {key!r}: {error}") from error

    def _connect(self) -> _Connection:
        connection = self._connection
        if connection is not None and connection.process == os.getpid():
            return connection
        with self._lock:
            if self._connection is None or self._connection.process != os.getpid():
                self._connection = _Connection(self._options)
            return self._connection

    def _refusal(self, key: str, error: Any) -> PayloadCorrupt | PayloadUnavailable:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code == "NoSuchBucket":
            return PayloadUnavailable(f"{self._place()} has no such bucket: create it, or correct the payload URL")
        if status == 404 or code == "NoSuchKey":
            return missing(key, self._place())
        if status == 412:
            return PayloadCorrupt(f"payload {key!r} in {self._place()} was replaced while it was being read")
        advice = ": check the credentials and the bucket's policy" if status in (401, 403) else ""
        return PayloadUnavailable(f"{self._place()} answers {status} {code} for {key!r}{advice}: {error}")

    def _place(self) -> str:
        at = f" at {self._options.endpoint_url}" if self._options.endpoint_url else ""
        return f"s3://{self._options.bucket}/{self._options.prefix}{at}"


class _Connection:
    """What belongs to one process: the client, its threads, and the errors it raises."""

    def __init__(self, options: S3Options) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        self.process = os.getpid()
        self.client_error: type[Exception] = ClientError
        self.unreachable: tuple[type[Exception], ...] = (BotoCoreError, HTTPError, OSError)
        self.failures = (ClientError, *self.unreachable)
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": options.addressing_style or ("path" if options.endpoint_url else "auto")},
            connect_timeout=options.connect_timeout,
            read_timeout=options.read_timeout,
            retries={"mode": "standard", "total_max_attempts": options.attempts},
            max_pool_connections=2 * _THREADS,
            request_checksum_calculation=options.request_checksums,
            response_checksum_validation=options.response_checksums,
        )
        try:
            self.client: Any = boto3.session.Session().client(
                "s3",
                endpoint_url=options.endpoint_url,
                region_name=options.region or ("us-east-1" if options.endpoint_url else None),
                aws_access_key_id=options.access_key_id,
                aws_secret_access_key=options.secret_access_key,
                config=config,
            )
        except (BotoCoreError, ValueError) as error:
            raise SettingsError("LONGSHORE_S3_ENDPOINT_URL", f"S3 cannot be set up: {error}") from error


class _Upload:
    """One multipart upload: parts are sent as they fill, a few at a time; given up, it leaves nothing behind."""

    def __init__(self, connection: _Connection, where: dict[str, str]) -> None:
        self._connection = connection
        self._client = connection.client
        self._where = where
        self._under_way: deque[Future[dict[str, Any]]] = deque()
        self._sent: list[dict[str, Any]] = []

    def send(self, key: str, chunks: Iterable[Buffer], size: int) -> None:
        upload = self._client.create_multipart_upload(**self._where)["UploadId"]
        done = False
        try:
            count = 0
            for number, part in enumerate(_parts(chunks, max(PART, -(-size // _MOST_PARTS))), start=1):
                count += len(part)
                self._under_way.append(self._connection.pool.submit(self._send_part, upload, number, part))
                while len(self._under_way) >= _AHEAD:
                    self._sent.append(self._under_way.popleft().result())
            self._sent += [future.result() for future in self._under_way]
            if count != size:
                raise wrong_size(key, size, count)
            self._client.complete_multipart_upload(
                **self._where, UploadId=upload, MultipartUpload={"Parts": self._sent}
            )
            done = True
        finally:
            if not done:
                self._give_up(upload)

    def _send_part(self, upload: str, number: int, part: bytes) -> dict[str, Any]:
        answer = self._client.upload_part(**self._where, UploadId=upload, PartNumber=number, Body=part)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _give_up(self, upload: str) -> None:
        for future in self._under_way:
            future.cancel()
        wait(self._under_way)  # bounded by the client's own timeouts; a part that arrives after the end would stay
        with suppress(*self._connection.failures):  # the failure that brought us here is the one to tell
            self._client.abort_multipart_upload(**self._where, UploadId=upload)


def _parts(chunks: Iterable[Buffer], size: int) -> Iterator[bytes]:
    part = bytearray()
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        while view.nbytes:
            taken = view[: size - len(part)]
            part += taken
            view = view[taken.nbytes :]
            if len(part) == size:
                yield bytes(part)
                part = bytearray()
    if part:
        yield bytes(part)


class _RangeReader:
    """Reads an object in ranges, a few fetched ahead; all of the same version of the object."""

    def __init__(self, store: S3Store, key: str, connection: _Connection, where: dict[str, str]) -> None:
        self._store = store
        self._key = key
        self._connection = connection
        self._where = where
        self._ahead: deque[Future[bytes]] = deque()
        first, answer = self._fetch(0, {})
        self._match = {"IfMatch": answer["ETag"]} if "ETag" in answer else {}
        self._piece = memoryview(first)
        self.size = int(str(answer.get("ContentRange", f"/{len(first)}")).rpartition("/")[2])
        self._next = len(first)

    def read(self, size: int, /) -> bytes:
        pieces: list[memoryview] = []
        while size and (piece := self._take(size)).nbytes:
            pieces.append(piece)
            size -= piece.nbytes
        return b"".join(pieces)

    def readinto(self, buffer: memoryview, /) -> int:
        piece = self._take(buffer.nbytes)
        buffer[: piece.nbytes] = piece
        return piece.nbytes

    def close(self) -> None:
        """Stop fetching ahead."""
        for future in self._ahead:
            future.cancel()
        self._ahead.clear()

    def _take(self, size: int) -> memoryview:
        if not self._piece.nbytes:
            self._look_ahead()
            if self._ahead:
                self._piece = memoryview(self._ahead.popleft().result())
                self._look_ahead()
        piece = self._piece[:size]
        self._piece = self._piece[size:]
        return piece

    def _look_ahead(self) -> None:
        while len(self._ahead) < _AHEAD and self._next < self.size:
            self._ahead.append(self._connection.pool.submit(self._fetch_next, self._next))
            self._next += PART

    def _fetch_next(self, start: int) -> bytes:
        with self._store._answering(self._key):
            body, _ = self._fetch(start, self._match)
        expected = min(PART, self.size - start)
        if len(body) != expected:
            raise wrong_size(self._key, expected, len(body))
        return body

    def _fetch(self, start: int, match: dict[str, str]) -> tuple[bytes, dict[str, Any]]:
        for attempt in range(_BODY_ATTEMPTS):  # botocore repeats requests, not the reading of bodies
            try:
                answer = self._connection.client.get_object(
                    **self._where, Range=f"bytes={start}-{start + PART - 1}", **match
                )
                with answer["Body"] as body:
                    return body.read(), answer
            except self._connection.unreachable:
                if attempt == _BODY_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")


def s3_options(url: str, **given: str | None) -> S3Options:
    """The options in `s3://bucket/prefix` and the given settings. Raises SettingsError."""
    parts = urlsplit(url)
    if not parts.netloc or parts.query or parts.fragment:
        raise SettingsError("LONGSHORE_PAYLOAD_URL", f"{url} is not s3://bucket or s3://bucket/prefix")
    prefix = parts.path.strip("/")
    if prefix:
        check_key(prefix)
    return S3Options(bucket=parts.netloc, prefix=prefix + "/" if prefix else "", **given)  # type: ignore[arg-type]
