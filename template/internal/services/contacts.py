"""Contacts, imported from CSV files."""

import asyncio
import csv
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, EmailStr, ValidationError
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from internal.config import Settings
from internal.database import insert, transaction
from internal.errors import PermanentError
from internal.models.contacts import Contact, Import

BATCH = 2_000
"""How many rows are committed together."""

MAX_LINE = 1_000_000
"""How many bytes a line may have: a file that is no CSV may be one line."""


class InvalidFile(PermanentError):
    """The file is missing, is not CSV, or holds a row that is not a contact."""


class ImportTakenOver(Exception):
    """Another run of the same import has gone on meanwhile."""


class ContactRow(BaseModel):
    """One row of a file."""

    email: EmailStr
    name: str


@dataclass(frozen=True)
class Place:
    """How far an import is: so many rows are done, and the next one begins at an offset in bytes."""

    rows: int
    offset: int


@dataclass(frozen=True)
class Batch:
    """Rows that follow each other in a file."""

    contacts: Sequence[ContactRow]
    end: Place
    problem: InvalidFile | None
    """Why the row that follows them cannot be imported."""


Finish = Callable[[AsyncSession], Awaitable[object]]
"""What else is done in the transaction that ends an import."""


async def import_contacts(
    path: Path, import_id: str, settings: Settings, finish: Finish | None = None
) -> AsyncGenerator[tuple[int, int]]:
    """Import the file's rows in batches, and yield the rows done and their total after each.

    Rows and the count of those that are done are committed together, so an import that was stopped
    at any moment goes on, under the same `import_id`, after its last row. With the last rows,
    `finish` is committed.

    Raises `InvalidFile` at the first row that cannot be imported; the rows before it stay.
    Raises `ImportTakenOver` if the same import is done twice at once: each row is done by one.
    """
    place, total = await _begin(path, import_id, settings)
    yield place.rows, total
    batch = await asyncio.to_thread(_read, path, place)
    while batch.contacts:
        # The next batch is read while this one is written.
        reading = asyncio.create_task(asyncio.to_thread(_read, path, batch.end))
        try:
            last = batch.end.rows >= total
            await _write(path, import_id, place, batch, settings, finish if last else None)
            place = batch.end
            yield place.rows, total
            if batch.problem:
                break
            batch = await reading
        finally:
            reading.cancel()
    if batch.problem:
        raise batch.problem
    if finish and not total:
        async with transaction(settings) as session:
            await finish(session)


async def _begin(path: Path, import_id: str, settings: Settings) -> tuple[Place, int]:
    """Return where the import begins or goes on, and the number of all rows."""
    version = await asyncio.to_thread(_version, path)
    async with transaction(settings, read_only=True) as session:
        begun = await session.get(Import, import_id)
    if begun and begun.file_version == version:
        return Place(begun.rows_done, begun.position), begun.rows_total
    place, total = await asyncio.to_thread(_survey, path, begun.rows_done if begun else 0)
    known = {"position": place.offset, "rows_total": total, "file_version": version}
    begin = insert(Import).values(id=import_id, rows_done=place.rows, **known)
    begin = begin.on_conflict_do_update(
        index_elements=[Import.id], set_=known, where=Import.rows_done == place.rows
    )
    async with transaction(settings) as session:
        await session.execute(begin)
    return place, total


async def _write(
    path: Path,
    import_id: str,
    begin: Place,
    batch: Batch,
    settings: Settings,
    finish: Finish | None,
) -> None:
    count = (
        update(Import)
        .where(Import.id == import_id, Import.rows_done == begin.rows)
        .values(rows_done=batch.end.rows, position=batch.end.offset)
    )
    contacts = insert(Contact)
    contacts = contacts.on_conflict_do_update(
        index_elements=[Contact.email], set_={"name": contacts.excluded.name}
    )
    # Two imports that write the same contacts in one order do not block each other for ever.
    rows = sorted((contact.model_dump() for contact in batch.contacts), key=itemgetter("email"))
    async with transaction(settings) as session:
        connection = await session.connection()
        if not (await connection.execute(count)).rowcount:
            raise ImportTakenOver(f"Another run has done row {begin.rows + 1} of {path.name}.")
        await connection.execute(contacts, rows)
        if finish:
            await finish(session)


def _version(path: Path) -> str:
    """Return what is another one when the file has changed."""
    with _opened(path) as file:
        status = os.fstat(file.fileno())
        return f"{status.st_size}-{status.st_mtime_ns}"


def _survey(path: Path, done: int) -> tuple[Place, int]:
    """Return the place after so many rows, and count all of them."""
    with _opened(path) as file:
        rows = Rows(file)
        done = sum(1 for _ in islice(rows, done))
        place = Place(done, rows.offset)
        return place, done + sum(1 for _ in rows)


def _read(path: Path, begin: Place) -> Batch:
    """Return the next rows, up to the first that cannot be imported."""
    contacts: list[ContactRow] = []
    end, problem = begin, None
    with _opened(path) as file:
        rows = Rows(file, begin.offset)
        for row in islice(rows, BATCH):
            try:
                contacts.append(ContactRow.model_validate(dict(zip(rows.names, row, strict=False))))
            except ValidationError as error:
                problem = _invalid_row(path, end.rows + 1, error)
                break
            end = Place(end.rows + 1, rows.offset)
    return Batch(contacts, end, problem)


class Rows:
    """The rows of an opened CSV file, which knows at which offset the next one begins."""

    def __init__(self, file: BinaryIO, offset: int = 0) -> None:
        self.offset = 0
        self._file = file
        self._rows = csv.reader(self._lines(), strict=True)
        self.names = next(self._rows, [])
        missing = {"email", "name"} - set(self.names)
        if missing:
            columns = " and ".join(sorted(missing))
            raise InvalidFile(f"{Path(file.name).name} lacks the column {columns}.")
        if offset:
            file.seek(offset)
            self.offset = offset

    def __iter__(self) -> Iterator[list[str]]:
        """Return the rows that follow; lines that are empty are none."""
        return filter(None, self._rows)

    def _lines(self) -> Iterator[str]:
        encoding = "utf-8-sig"
        while line := self._file.readline(MAX_LINE):
            if len(line) == MAX_LINE:
                raise csv.Error(f"a line has more than {MAX_LINE} bytes")
            self.offset += len(line)
            yield line.decode(encoding)
            encoding = "utf-8"


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if not path.is_file():
        raise InvalidFile(f"There is no file {path.name} in the imports folder.")
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InvalidFile(f"{path.name} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidFile(f"{path.name} cannot be read as CSV: {error}.") from error


def _invalid_row(path: Path, number: int, error: ValidationError) -> InvalidFile:
    problem = error.errors()[0]
    return InvalidFile(f"{path.name}, row {number}, {problem['loc'][0]}: {problem['msg']}.")
