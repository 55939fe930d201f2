"""How the project's SQLite file is opened; all processes of a machine share it."""

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from internal.config import Settings
from internal.database import driver
from internal.database.errors import DatabaseUnavailable

__all__ = ["create_engine", "insert", "is_away", "is_without_tables", "lock", "url_of"]

LOCK_TIMEOUT = 10.0
"""How long, in seconds, a transaction waits for the one of another process to end."""

AWAY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
}
"""SQLite's codes for what another try may find otherwise: the file, its disk, its locks."""


def url_of(settings: Settings) -> str:
    """Return the URL of the database."""
    return str(settings.database_url or f"sqlite:///{settings.data_dir / 'app.db'}")


def create_engine(settings: Settings) -> AsyncEngine:
    """Return what opens connections to the file, which is made on first use."""
    path = Path(make_url(url_of(settings)).database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailable.because(error) from error
    engine = create_async_engine(
        # With a path here, SQLAlchemy knows that it is no database in memory.
        URL.create("sqlite+aiosqlite", database=str(path)),
        async_creator=partial(driver.Connection, path, LOCK_TIMEOUT),
        # Errors are logged, and told to whoever asks for the job.
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    event.listen(engine.sync_engine, "close", _undo)
    return engine


def is_away(error: SQLAlchemyError) -> bool:
    """Tell whether a failure says nothing of what was asked for, but of the file or its disk."""
    code: int = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    # The lower byte is the kind of what may be more exact.
    return code & 0xFF in AWAY


def is_without_tables(error: BaseException) -> bool:
    """Tell whether a query failed because no migration has run yet."""
    return "no such table" in str(error)


async def lock(connection: AsyncConnection) -> None:
    """Prepare a connection for migrations; its transaction keeps others from migrating."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    # Whoever comes second waits as long as the migrations take.
    await driver.execute("PRAGMA busy_timeout = 3600000")
    # To change a table may mean to make it anew, which must not delete what refers to it.
    await driver.execute("PRAGMA foreign_keys = OFF")


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that begins by reading cannot wait for the right to write later on.
    read_only = connection.get_execution_options().get("read_only")
    opened: Any = connection.connection.driver_connection
    opened.begin("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _undo(connection: Any, _record: object) -> None:
    # A cancelled task leaves its transaction open, and as long as anything refers to its cursor,
    # such as the traceback of its exception, to close the connection does not undo it.
    connection.rollback()
