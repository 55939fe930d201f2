"""Questions to a PostgreSQL server on this machine."""

import asyncio
from contextlib import suppress
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # It comes without types.

__all__ = ["is_ready", "server_pid"]


def is_ready(url: str) -> bool:
    """Tell whether a server takes statements at this URL; it accepts connections before that."""

    async def connect() -> None:
        connection = await asyncpg.connect(url, timeout=5)
        await connection.close()

    with suppress(OSError, asyncpg.CannotConnectNowError):
        asyncio.run(connect())
        return True
    return False


def server_pid(data: Path) -> int | None:
    """Return the process id of the server that runs on a data directory; None if none does."""
    lock = data / "postmaster.pid"
    return int(lock.read_text().split()[0]) if lock.exists() else None
