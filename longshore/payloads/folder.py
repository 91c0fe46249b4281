"""A payload store in a folder, local or shared. It never leaves that folder and never shows half an object."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from longshore.core.errors import PayloadUnavailable, SettingsError
from longshore.payloads.store import Buffer, Reader, check_key, missing, wrong_size

_OWN_FOLDER: Final = 0o700
_PARTIAL: Final = ".partial-"
_TRIES: Final = 10


class FolderStore:
    """Objects as files below `root`, made on the first put. Writes are flushed to disk before they are visible."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def put(self, key: str, chunks: Iterable[Buffer], size: int) -> None:
        """See PayloadStore."""
        target = self._path(key)
        partial = target.parent / f"{_PARTIAL}{secrets.token_hex(8)}"
        with self._answering():
            self._make_root()
            try:
                with self._new(partial) as file:
                    written = sum(_write(file, chunk) for chunk in chunks)
                    if written != size:
                        raise wrong_size(key, size, written)
                    os.fsync(file.fileno())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
            _flush_folder(target.parent)

    def _new(self, partial: Path) -> io.FileIO:
        """The file, in a folder that may be swept as empty just now."""
        for _ in range(_TRIES):
            partial.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                return partial.open("xb", buffering=0)
        return partial.open("xb", buffering=0)

    def _make_root(self) -> None:
        """The root and what is missing above it, closed to others: whoever writes first makes the folder of all."""
        missing_ones = [self._root, *self._root.parents]
        for folder in reversed(list(takewhile(lambda one: not one.exists(), missing_ones))):
            folder.mkdir(mode=_OWN_FOLDER, exist_ok=True)

    @contextmanager
    def open(self, key: str) -> Iterator[Reader]:
        """See PayloadStore."""
        path = self._path(key)
        with self._answering():
            try:
                file = path.open("rb", buffering=0)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                if not self._root.is_dir():
                    raise PayloadUnavailable(f"the payload folder {self._root} is not there: is it mounted?") from None
                raise missing(key, str(self._root)) from None
        with file:
            yield _FileReader(self, file)

    def exists(self, key: str) -> bool:
        """See PayloadStore."""
        with self._answering():
            return self._path(key).is_file()

    def delete(self, key: str) -> None:
        """See PayloadStore."""
        path = self._path(key)
        with self._answering(), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
        for folder in list(path.parents)[: key.count("/")]:
            try:
                folder.rmdir()  # each run has a folder of its own: empty ones would stay for ever
            except OSError:
                return

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PayloadUnavailable(
                f"the payload folder {self._root} does not work: {error.strerror or error}: check that it exists, is "
                "writable and has space"
            ) from error


class _FileReader:
    def __init__(self, store: FolderStore, file: io.FileIO) -> None:
        self._store = store
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def read(self, size: int, /) -> bytes:
        with self._store._answering():
            return self._file.read(size) or b""

    def readinto(self, buffer: memoryview, /) -> int:
        with self._store._answering():
            return self._file.readinto(buffer) or 0


def _write(file: io.FileIO, chunk: Buffer) -> int:
    view = memoryview(chunk).cast("B")
    done = 0
    while done < view.nbytes:
        done += file.write(view[done:])
    return done


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folder_of(url: str) -> Path:
    """The folder in `file:relative/path`, `file:/absolute/path` or `file:///absolute/path`. Raises SettingsError."""
    path = url.removeprefix("file:")
    if path.startswith("//"):
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise SettingsError("LONGSHORE_PAYLOAD_URL", f"{url} names the host {parts.netloc}: write file:///path")
        path = unquote(parts.path)
    if not path:
        raise SettingsError("LONGSHORE_PAYLOAD_URL", f"{url} names no folder: write file:PATH")
    return Path(path)
