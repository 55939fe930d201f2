"""SQLite in a thread, for SQLAlchemy's asyncio, with few changes between the threads.

A change to another thread and back costs more CPU than a short statement. `aiosqlite` changes for
each method of a cursor, about eight times in a small transaction. Here it is once for a statement,
together with the BEGIN before it and the first of its rows.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import aiosqlite

FIRST_ROWS = 100
"""How many rows are fetched together with their statement."""

PAUSE = 0.01
"""Seconds between two attempts to switch a new file to the WAL mode."""


class Connection(aiosqlite.Connection):
    """A connection whose transactions begin together with their first statement."""

    def __init__(self, path: Path, timeout: float) -> None:
        """`timeout` is how long, in seconds, a statement waits for a lock of another connection."""
        super().__init__(partial(_open, path, timeout), iter_chunk_size=FIRST_ROWS)
        self._begin = ""
        self._in_thread = False

    def begin(self, statement: str) -> None:
        """Execute this before the next statement."""
        self._begin = statement

    # aiosqlite's own can be awaited as well, hence the other type; SQLAlchemy only enters it.
    def cursor(self) -> Cursor:  # type: ignore[override]
        """Return a cursor."""
        return Cursor(self)

    async def commit(self) -> None:
        """Commit the transaction; do nothing if no statement was executed in it."""
        if self._may_have_begun():
            await self.run(self._conn.commit)

    async def rollback(self) -> None:
        """Undo the transaction, if it has begun."""
        if self._may_have_begun():
            await self.run(self._conn.rollback)

    async def run(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a function in the connection's thread."""
        # After an error, and where this task is cancelled and the thread goes on, it stays so.
        self._in_thread = True
        # aiosqlite has no types for it.
        result = await self._execute(function, *arguments)  # type: ignore[no-untyped-call]
        self._in_thread = False
        return result

    async def run_in_transaction(self, function: Callable[[sqlite3.Cursor], None]) -> None:
        """Call a function with a new cursor in the connection's thread.

        The first call after `begin` begins the transaction.
        """
        # Read before the thread runs: after a cancellation, a rollback clears it at once.
        begin = self._begin

        def call() -> None:
            cursor = self._conn.cursor()
            if begin and not self._conn.in_transaction:
                cursor.execute(begin)
            function(cursor)

        await self.run(call)
        self._begin = ""

    def _may_have_begun(self) -> bool:
        self._begin = ""
        return self._in_thread or self.in_transaction


class Cursor:
    """What SQLAlchemy needs of a cursor."""

    description: Any = None
    rowcount = -1
    lastrowid: int | None = None
    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self._rest: sqlite3.Cursor | None = None

    async def __aenter__(self) -> Self:
        """Return the cursor itself."""
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Execute a statement, and fetch its first rows."""
        await self._execute(lambda cursor: cursor.execute(statement, parameters))

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each of the parameters."""
        await self._execute(lambda cursor: cursor.executemany(statement, parameters))

    async def fetchone(self) -> Any:
        """Return the next row, or None after the last one."""
        return next(iter(await self.fetchmany(1)), None)

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next `size` rows, or fewer at the end."""
        size = size or self.arraysize
        rows, self._rows = self._rows[:size], self._rows[size:]
        if self._rest and len(rows) < size:
            rows += await self._connection.run(self._rest.fetchmany, size - len(rows))
        return rows

    async def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        rows, self._rows = self._rows, []
        if self._rest:
            rows += await self._connection.run(self._rest.fetchall)
        return rows

    async def close(self) -> None:
        """Leave the rows that are left."""
        if self._rest:
            await self._connection.run(self._rest.close)

    async def _execute(self, execute: Callable[[sqlite3.Cursor], object]) -> None:
        def execute_and_fetch(cursor: sqlite3.Cursor) -> None:
            execute(cursor)
            self.description, self.rowcount = cursor.description, cursor.rowcount
            self.lastrowid = cursor.lastrowid
            self._rows = cursor.fetchmany(FIRST_ROWS) if cursor.description else []
            if len(self._rows) == FIRST_ROWS:
                self._rest = cursor
            else:
                cursor.close()

        await self._connection.run_in_transaction(execute_and_fetch)


def _open(path: Path, timeout: float) -> sqlite3.Connection:
    # Only `begin` begins transactions.
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    deadline = time.monotonic() + timeout
    while True:
        try:
            # Readers and one writer do not wait for each other, and a killed process loses nothing
            # that was committed.
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # In a new file, this takes a lock that SQLite does not wait for.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                connection.close()
                raise
            time.sleep(PAUSE)
        else:
            return connection
