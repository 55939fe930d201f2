"""Files: in a folder, or in a bucket of S3, Google or Azure, as `STORAGE_URL` says."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Self, cast
from urllib.parse import unquote

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import Field

from internal.config import Settings
from internal.errors import Unavailable

BLOCK = 1024 * 1024
"""How many bytes of a file are read by one request."""

PART = 8 * BLOCK
"""How many bytes of a file are written by one request."""

PARTS = 2
"""How many parts of an upload are sent concurrently, and held in memory meanwhile."""

UPLOADS = "uploads"
"""The folder, in the storage, of the files that clients sent to the API."""

PARTIAL = ".part"
"""The suffix of an upload that is not complete."""

UNFINISHED = timedelta(days=1)
"""After so long, an upload that did not come to its end is no longer under way."""

UPLOADABLE = object()
"""Marks the field of a job whose file may also be sent to the API, with the job."""

FileName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^(uploads/[0-9a-f]{64}|[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*)$",
    ),
    UPLOADABLE,
]
"""The name of a stored file, or what an upload is called; never a path to anywhere else."""

RETRY_TIMEOUT = timedelta(seconds=30)
"""How long a request to a bucket is tried again at most; ten retries mostly take less time."""


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
    """Open a file at an offset in bytes, to be read in blocks; nothing before the offset is read.

    Reading blocks, so do it in a thread. It raises `StorageUnavailable`, and `FileChanged` unless
    the file is still the one that was looked up.
    """
    return cast(BinaryIO, io.BufferedReader(_Ranges(_store_of(settings), file, start), block))


async def write(path: str, content: AsyncIterator[bytes], settings: Settings) -> None:
    """Write a file, which appears only when it is complete; raise `StorageUnavailable`.

    An error that `content` raises is passed on, and nothing of the file is kept.
    """
    store = _store_of(settings)
    with _own_errors():
        try:
            await obstore.put_async(store, path, content, chunk_size=PART, max_concurrency=PARTS)
        except FileNotFoundError as error:
            # The bucket is missing, or the upload was ended meanwhile.
            raise StorageUnavailable.because(error) from error


async def rename(path: str, to: str, settings: Settings) -> None:
    """Give a file another name, also where there is a file of that name already."""
    with _own_errors():
        await obstore.rename_async(_store_of(settings), path, to)


async def remove(path: str, settings: Settings) -> None:
    """Remove a file, unless another process has done so already."""
    with _own_errors(), suppress(FileNotFoundError):
        await obstore.delete_async(_store_of(settings), path)


async def remove_old_uploads(oldest: datetime, settings: Settings) -> int:
    """Remove uploads that are too old, and what is left of those that never ended; count them."""
    store = _store_of(settings)
    interrupted = datetime.now(UTC) - UNFINISHED
    removed = 0
    with _own_errors():
        async for found in obstore.list(store, UPLOADS):
            for file in found:
                if file["last_modified"] < (
                    interrupted if file["path"].endswith(PARTIAL) else oldest
                ):
                    await remove(file["path"], settings)
                    removed += 1
        if isinstance(store, LocalStore):
            removed += await asyncio.to_thread(_remove_parts, Path(str(store.prefix)), interrupted)
    return removed


def _remove_parts(folder: Path, interrupted: datetime) -> int:
    # In a folder, a file that is being written has this sign in its name, and is on no list.
    removed = 0
    for path in folder.glob(f"{UPLOADS}/*{PARTIAL}#*"):
        if path.stat().st_mtime < interrupted.timestamp():
            path.unlink(missing_ok=True)
            removed += 1
    return removed


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
