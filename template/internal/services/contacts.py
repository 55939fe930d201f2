"""Contacts, imported from CSV files."""

import asyncio
import csv
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import PurePosixPath

from pydantic import BaseModel, EmailStr, ValidationError
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from internal import storage
from internal.config import Settings
from internal.database import insert, transaction
from internal.errors import PermanentError
from internal.models.contacts import Contact, Import
from internal.storage import StoredFile

BATCH = 2_000
"""How many rows are committed together."""

COUNTED = 50_000
"""How many rows are counted before it is seen whether the import is to stop."""

HEADER_BLOCK = 8 * 1024
"""How many bytes of a file are read at once to know its columns."""

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


class Rows:
    """The rows of a CSV file, which knows at which offset the next one begins."""

    def __init__(self, file: StoredFile, settings: Settings, offset: int = 0) -> None:
        self.file = file
        self.offset = 0
        self._content = storage.open_file(file, settings, block=HEADER_BLOCK)
        self._rows = csv.reader(self._lines(), strict=True)
        self.names = next(self._rows, [])
        missing = {"email", "name"} - set(self.names)
        if missing:
            columns = " and ".join(sorted(missing))
            raise InvalidFile(f"{_name(file)} lacks the column {columns}.")
        self.offset = max(offset, self.offset)
        self._content = storage.open_file(file, settings, start=self.offset)

    def __iter__(self) -> Iterator[list[str]]:
        """Return the rows that follow; lines that are empty are none."""
        return filter(None, self._rows)

    def _lines(self) -> Iterator[str]:
        encoding = "utf-8-sig"
        while line := self._content.readline(MAX_LINE):
            if len(line) == MAX_LINE:
                raise csv.Error(f"a line has more than {MAX_LINE} bytes")
            text = line.decode(encoding)
            if "\0" in text:
                raise csv.Error("a line has a null character")
            self.offset += len(line)
            yield text
            encoding = "utf-8"


Finish = Callable[[AsyncSession], Awaitable[object]]
"""What else is done in the transaction that ends an import."""


async def import_contacts(
    path: str, import_id: str, settings: Settings, finish: Finish | None = None
) -> AsyncGenerator[tuple[int, int]]:
    """Import a stored file's rows in batches, and yield the rows done and their total after each.

    Rows and the count of those that are done are committed together, so an import that was stopped
    at any moment goes on, under the same `import_id`, after its last row. With the last rows,
    `finish` is committed.

    Raises `InvalidFile` at the first row that cannot be imported; the rows before it stay.
    Raises `ImportTakenOver` if the same import is done twice at once: each row is done by one.
    """
    file = await asyncio.to_thread(_find, path, settings)
    place, total = await _begin(file, import_id, settings)
    yield place.rows, total
    rows = await asyncio.to_thread(_open, file, settings, place.offset)
    batch = await asyncio.to_thread(_read, rows, place)
    while batch.contacts:
        # The next batch is read while this one is written.
        reading = asyncio.create_task(asyncio.to_thread(_read, rows, batch.end))
        try:
            last = batch.end.rows >= total
            await _write(file, import_id, place, batch, settings, finish if last else None)
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


async def _begin(file: StoredFile, import_id: str, settings: Settings) -> tuple[Place, int]:
    """Return where the import begins or goes on, and the number of all rows."""
    async with transaction(settings, read_only=True) as session:
        begun = await session.get(Import, import_id)
    if begun and begun.file_version == file.version:
        return Place(begun.rows_done, begun.position), begun.rows_total
    done = begun.rows_done if begun else 0
    place, total = await _survey(file, settings, done)
    known = {"position": place.offset, "rows_total": total, "file_version": file.version}
    begin = insert(Import).values(id=import_id, rows_done=place.rows, **known)
    begin = begin.on_conflict_do_update(
        index_elements=[Import.id], set_=known, where=Import.rows_done == place.rows
    )
    async with transaction(settings) as session:
        await session.execute(begin)
    return place, total


async def _write(
    file: StoredFile,
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
            raise ImportTakenOver(f"Another run has done row {begin.rows + 1} of {_name(file)}.")
        await connection.execute(contacts, rows)
        if finish:
            await finish(session)


def _find(path: str, settings: Settings) -> StoredFile:
    """Look the file up."""
    try:
        return storage.find(path, settings)
    except FileNotFoundError as error:
        place = PurePosixPath(path)
        raise InvalidFile(
            f"There is no file {place.name} in the {place.parent.name} folder."
        ) from error


async def _survey(file: StoredFile, settings: Settings, done: int) -> tuple[Place, int]:
    """Return the place after so many rows, and count all of them."""
    rows = await asyncio.to_thread(_open, file, settings, 0)
    done = await _skip(rows, done)
    place = Place(done, rows.offset)
    return place, done + await _skip(rows, sys.maxsize)


async def _skip(rows: Rows, limit: int) -> int:
    """Pass over so many rows, or all that are left, and return their number."""
    skipped = 0
    while number := await asyncio.to_thread(_count, rows, min(COUNTED, limit - skipped)):
        skipped += number
    return skipped


def _count(rows: Rows, limit: int) -> int:
    with _reading(rows.file):
        return sum(1 for _ in islice(rows, limit))


def _open(file: StoredFile, settings: Settings, offset: int) -> Rows:
    with _reading(file):
        return Rows(file, settings, offset)


def _read(rows: Rows, begin: Place) -> Batch:
    """Return the next rows, up to the first that cannot be imported."""
    contacts: list[ContactRow] = []
    end, problem = begin, None
    with _reading(rows.file):
        for row in islice(rows, BATCH):
            try:
                contacts.append(ContactRow.model_validate(dict(zip(rows.names, row, strict=False))))
            except ValidationError as error:
                problem = _invalid_row(rows.file, end.rows + 1, error)
                break
            end = Place(end.rows + 1, rows.offset)
    return Batch(contacts, end, problem)


@contextmanager
def _reading(file: StoredFile) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidFile(f"{_name(file)} is no longer there.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidFile(f"{_name(file)} cannot be read as CSV: {error}.") from error


def _name(file: StoredFile) -> str:
    return PurePosixPath(file.path).name


def _invalid_row(file: StoredFile, number: int, error: ValidationError) -> InvalidFile:
    problem = error.errors()[0]
    return InvalidFile(f"{_name(file)}, row {number}, {problem['loc'][0]}: {problem['msg']}.")
