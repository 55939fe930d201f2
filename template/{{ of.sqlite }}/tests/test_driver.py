"""SQLite's driver: what SQLAlchemy asks of it, and transactions that begin late."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from internal.config import Settings
from internal.database import transaction
from internal.database.driver import FIRST_ROWS, Connection
from internal.models.contacts import Contact

ROWS = 2 * FIRST_ROWS + 1


async def test_all_rows_are_read_at_once_or_in_parts(settings: Settings) -> None:
    emails = [f"{number:03}@example.com" for number in range(ROWS)]
    async with transaction(settings) as session:
        await session.execute(insert(Contact), [{"email": each, "name": ""} for each in emails])
    query = select(Contact.email).order_by(Contact.email)

    async with transaction(settings, read_only=True) as session:
        assert (await session.scalars(query)).all() == emails
        parts = (await session.stream_scalars(query)).partitions(70)
        assert [part async for part in parts] == [
            emails[start : start + 70] for start in range(0, ROWS, 70)
        ]
        first = await session.stream_scalars(query)
        assert await anext(first) == emails[0]
        await first.close()
        assert (await session.scalars(query.limit(FIRST_ROWS))).all() == emails[:FIRST_ROWS]


async def test_a_new_file_that_another_process_writes_to_is_waited_for(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "new.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    connection = Connection(tmp_path / "new.db", timeout=10)
    opening = asyncio.ensure_future(connection)
    await asyncio.sleep(0.1)
    assert not opening.done()
    other.execute("COMMIT")

    await opening
    cursor = connection.cursor()
    await cursor.execute("PRAGMA journal_mode")
    assert await cursor.fetchall() == [("wal",)]
    await connection.close()
    other.close()


async def test_a_transaction_that_could_not_begin_begins_with_the_next_statement(
    tmp_path: Path,
) -> None:
    first, second = (Connection(tmp_path / "some.db", timeout=0) for _ in range(2))
    await first
    await second
    await first.cursor().execute("CREATE TABLE done (id)")
    first.begin("BEGIN IMMEDIATE")
    await first.cursor().execute("INSERT INTO done VALUES (1)")
    second.begin("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await second.cursor().execute("INSERT INTO done VALUES (2)")
    await first.commit()

    await second.cursor().execute("INSERT INTO done VALUES (3)")
    await second.rollback()
    cursor = second.cursor()
    await cursor.execute("SELECT id FROM done")
    assert await cursor.fetchall() == [(1,)]
    await first.close()
    await second.close()


async def test_nothing_is_kept_of_a_statement_that_is_cancelled_before_its_thread_does_it(
    tmp_path: Path,
) -> None:
    connection = Connection(tmp_path / "some.db", timeout=0)
    await connection
    try:
        await connection.cursor().execute("CREATE TABLE done (id)")
        free = threading.Event()
        occupying = asyncio.create_task(connection.run(free.wait))
        connection.begin("BEGIN IMMEDIATE")
        inserting = asyncio.create_task(connection.cursor().execute("INSERT INTO done VALUES (1)"))
        await asyncio.sleep(0)
        inserting.cancel()
        undoing = asyncio.create_task(connection.rollback())
        await asyncio.sleep(0)
        free.set()
        await asyncio.gather(occupying, undoing)
        assert inserting.cancelled()

        cursor = connection.cursor()
        await cursor.execute("SELECT id FROM done")
        assert await cursor.fetchall() == []
    finally:
        await connection.close()
