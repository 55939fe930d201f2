"""Transactions, on connections that are kept open for the next one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from internal.config import Settings, get_settings
from internal.database.engine import create_engine, is_away, is_without_tables, url_of
from internal.database.errors import DatabaseUnavailable

CHECK_TIMEOUT = 3.0
"""How long, in seconds, the database has to answer a health check."""


@dataclass(frozen=True)
class _Engines:
    """The same connections with and without the option `read_only`."""

    read_write: AsyncEngine
    read_only: AsyncEngine
    closing: AsyncGenerator[None]


_engines: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Engines]] = WeakKeyDictionary()


@asynccontextmanager
async def transaction(
    settings: Settings | None = None, *, read_only: bool = False
) -> AsyncIterator[AsyncSession]:
    """Open a transaction: its end commits all that was done in it, an exception undoes it.

    Keep it short, for others wait for what it has locked: call no other service inside. Where
    nothing is written, `read_only` spares the others that wait. Without `settings`, the database is
    the one of this process.

    Raises `DatabaseUnavailable` where the database is away, or goes away meanwhile: in that case
    all was undone, or all is committed. A job that lets it through is tried again.
    """
    engines = await _of_this_loop(settings or get_settings())
    engine = engines.read_only if read_only else engines.read_write
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            yield session
            await _to_its_end(session.commit())
    except SQLAlchemyError as error:
        if is_away(error):
            raise DatabaseUnavailable.because(error) from error
        raise


@asynccontextmanager
async def reading(settings: Settings | None = None) -> AsyncIterator[AsyncSession]:
    """Open a transaction that writes nothing; raise `DatabaseUnavailable` if that fails."""
    try:
        async with transaction(settings, read_only=True) as session:
            yield session
    except SQLAlchemyError as error:
        if is_without_tables(error):
            raise DatabaseUnavailable(
                "The database has no tables yet: run `alembic upgrade heads`."
            ) from error
        raise DatabaseUnavailable.because(error) from error


async def check(settings: Settings | None = None) -> None:
    """Raise `DatabaseUnavailable` unless the database answers and has its tables."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT), reading(settings) as session:
            await session.execute(text("SELECT 1 FROM alembic_version"))
    except TimeoutError as error:
        raise DatabaseUnavailable.because(f"no answer within {CHECK_TIMEOUT:g} seconds") from error


async def _to_its_end(doing: Coroutine[Any, Any, None]) -> None:
    """Wait for what must not stop in the middle; a cancelled task ends when it is done."""
    task = asyncio.create_task(doing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


async def _of_this_loop(settings: Settings) -> _Engines:
    """Return the connections of the running event loop, for a connection belongs to one."""
    engines = _engines.setdefault(asyncio.get_running_loop(), {})
    url = url_of(settings)
    if url not in engines:
        engine = create_engine(settings)
        closing = _close_at_the_end(engine)
        engines[url] = _Engines(engine, engine.execution_options(read_only=True), closing)
        await anext(closing)
    return engines[url]


async def _close_at_the_end(engine: AsyncEngine) -> AsyncGenerator[None]:
    # What ends an event loop closes its asynchronous generators first.
    try:
        yield
    finally:
        await engine.dispose()
