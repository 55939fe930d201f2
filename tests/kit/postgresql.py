"""Questions to a PostgreSQL server on this machine."""

import asyncio
from contextlib import suppress

import asyncpg  # type: ignore[import-untyped]  # It comes without types.

__all__ = ["is_ready"]


def is_ready(url: str) -> bool:
    """Tell whether a server takes statements at this URL; it accepts connections before that."""

    async def connect() -> None:
        connection = await asyncpg.connect(url, timeout=5)
        await connection.close()

    with suppress(OSError, asyncpg.CannotConnectNowError):
        asyncio.run(connect())
        return True
    return False
