"""Contacts, imported from CSV files."""

import asyncio
import csv
from collections.abc import AsyncGenerator, Iterator
from itertools import islice
from pathlib import Path

import aiosqlite
from pydantic import BaseModel, EmailStr, ValidationError

from internal.errors import PermanentError
from internal.services.database import connect


class InvalidFile(PermanentError):
    """The file is missing, is not CSV, or holds a row that is not a contact."""


class ImportTakenOver(Exception):
    """Another run of the same import has gone on meanwhile."""


class Contact(BaseModel):
    """One row of a file."""

    email: EmailStr
    name: str


async def import_contacts(
    path: Path, data_dir: Path, import_id: str
) -> AsyncGenerator[tuple[int, int]]:
    """Import the file's rows one by one, and yield the rows done and their total after each.

    A row and the count of rows done are committed together, so an import that was stopped
    at any moment goes on, under the same `import_id`, after its last row.

    Raises `InvalidFile` at the first row that cannot be imported; the rows before it stay.
    Raises `ImportTakenOver` if the same import is done twice at once: each row is done by one.
    """
    # Reading a large file takes a while, in which other jobs must go on.
    total = await asyncio.to_thread(_count, path)
    async with connect(data_dir) as database:
        done = await _rows_done(database, import_id)
        yield done, total
        for row in await asyncio.to_thread(_rows_after, path, done):
            contact = _contact(path, done + 1, row)
            done += 1
            await database.execute("BEGIN IMMEDIATE")
            await database.execute(
                "INSERT INTO contacts (email, name) VALUES (?, ?)"
                " ON CONFLICT (email) DO UPDATE SET name = excluded.name",
                (contact.email, contact.name),
            )
            counted = await database.execute(
                "INSERT INTO imports (id, rows_done) VALUES (?, ?) ON CONFLICT (id)"
                " DO UPDATE SET rows_done = excluded.rows_done, updated_at = CURRENT_TIMESTAMP"
                " WHERE rows_done = excluded.rows_done - 1",
                (import_id, done),
            )
            if not counted.rowcount:
                raise ImportTakenOver(f"Another run has done row {done} of {path.name}.")
            await database.execute("COMMIT")
            yield done, total


async def _rows_done(database: aiosqlite.Connection, import_id: str) -> int:
    query = "SELECT rows_done FROM imports WHERE id = ?"
    async with database.execute(query, (import_id,)) as cursor:
        record = await cursor.fetchone()
    return record[0] if record else 0


def _count(path: Path) -> int:
    return sum(1 for _ in _rows(path))


def _rows_after(path: Path, done: int) -> Iterator[dict[str, str]]:
    rows = _rows(path)
    for _ in islice(rows, done):
        pass
    return rows


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = {"email", "name"} - set(reader.fieldnames or ())
            if missing:
                raise InvalidFile(f"{path.name} lacks the column {' and '.join(sorted(missing))}.")
            yield from reader
    except FileNotFoundError as error:
        raise InvalidFile(f"There is no file {path.name} in the imports folder.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidFile(f"{path.name} cannot be read as CSV: {error}.") from error


def _contact(path: Path, number: int, row: dict[str, str]) -> Contact:
    try:
        return Contact.model_validate(row)
    except ValidationError as error:
        problem = error.errors()[0]
        field = problem["loc"][0]
        raise InvalidFile(f"{path.name}, row {number}, {field}: {problem['msg']}.") from error
