"""Files: in a folder, or in a bucket of S3, Google or Azure, as `STORAGE_URL` says."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Self, cast
from urllib.parse import unquote

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import LocalStore, ObjectStore, from_url

from internal.config import Settings
from internal.errors import Unavailable

BLOCK = 1024 * 1024
"""How many bytes of a file are read by one request."""

RETRY_TIMEOUT = timedelta(seconds=30)
"""How long a request to a bucket is tried again before the storage counts as away."""


class StorageUnavailable(Unavailable):
    """The storage does not answer, or refuses what it is asked for."""

    @classmethod
    def because(cls, reason: object) -> Self:
        """Return the error with the first line of its reason; the others are the library's own."""
        first, *_ = str(reason).splitlines() or [""]
        return cls(f"The storage is not available: {first.partition('?')[0]}")


class FileChanged(Exception):
    """The file is another one than when it was looked up."""


@dataclass(frozen=True)
class StoredFile:
    """A file as it was when it was looked up."""

    path: str
    """Where it is in the storage, with slashes: `imports/contacts.csv`."""

    size: int
    """In bytes."""

    version: str
    """What is another one when the file has changed."""


def find(path: str, settings: Settings) -> StoredFile:
    """Look a file up; raise `FileNotFoundError` or `StorageUnavailable`."""
    store = _store_of(settings)
    # To open what is no file, such as a pipe, would wait for ever.
    if isinstance(store, LocalStore) and not Path(str(store.prefix), path).is_file():
        raise FileNotFoundError(path)
    with _own_errors():
        known = obstore.head(store, path)
    return StoredFile(path, known["size"], known["e_tag"] or "")


def open_file(
    file: StoredFile, settings: Settings, *, start: int = 0, block: int = BLOCK
) -> BinaryIO:
    """Open a file for reading from an offset on, block by block; nothing before it is read.

    It blocks, so it is for threads. To read raises `StorageUnavailable`, and `FileChanged` unless
    the file is still the one that was looked up.
    """
    return cast(BinaryIO, io.BufferedReader(_Ranges(_store_of(settings), file, start), block))


class _Ranges(io.RawIOBase):
    """A file of which every read is one request."""

    def __init__(self, store: ObjectStore, file: StoredFile, start: int) -> None:
        self._store = store
        self._file = file
        self._position = start

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        wanted = memoryview(buffer).cast("B")
        end = min(self._position + len(wanted), self._file.size)
        if end <= self._position:
            return 0
        with _own_errors():
            content = obstore.get(
                self._store,
                self._file.path,
                options={"range": (self._position, end), "if_match": self._file.version or None},
            ).bytes()
        wanted[: len(content)] = memoryview(content)
        self._position += len(content)
        return len(content)


def _store_of(settings: Settings) -> ObjectStore:
    if settings.storage_url is None:
        return _store(settings.data_dir.absolute().as_uri())
    return _store(str(settings.storage_url))


@cache
def _store(url: str) -> ObjectStore:
    """Open the storage; the credentials of a bucket come from the environment."""
    try:
        if url.startswith("file:"):
            return LocalStore(unquote(url.removeprefix("file://")), mkdir=True)
        return from_url(url, retry_config={"retry_timeout": RETRY_TIMEOUT})
    except (BaseError, OSError) as error:
        raise StorageUnavailable.because(error) from error


@contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except PreconditionError as error:
        raise FileChanged("The file has changed since it was looked up.") from error
    except BaseError as error:
        raise StorageUnavailable.because(error) from error
