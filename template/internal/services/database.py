"""The project's records, in one SQLite file that all processes on a machine share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

LOCK_TIMEOUT = 10.0
"""How long, in seconds, a write waits for another process to finish its own."""

# Readers and one writer at a time do not wait for each other, and a killed process loses
# nothing that was committed.
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS contacts (
    email TEXT PRIMARY KEY,
    name TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS imports (
    id TEXT PRIMARY KEY,
    rows_done INTEGER NOT NULL,
    updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS deliveries (
    message_id TEXT PRIMARY KEY,
    delivered_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
"""


@asynccontextmanager
async def connect(data_dir: Path) -> AsyncIterator[aiosqlite.Connection]:
    """Open the database in `data_dir`, made on first use; every statement commits itself."""
    async with aiosqlite.connect(
        _file(data_dir), timeout=LOCK_TIMEOUT, isolation_level=None
    ) as database:
        await database.executescript(_SCHEMA)
        yield database


def _file(data_dir: Path) -> Path:
    data_dir.mkdir(parents=True, exist_ok=True)
    return data_dir / "app.db"
