"""What Alembic runs for each of its commands."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from internal.config import get_settings
from internal.database import DatabaseUnavailable
from internal.database.engine import create_engine, lock
from internal.logs import configure_logging
from internal.models import all_tables

WAIT = 30.0
"""How long, in seconds, a database that is starting is waited for."""


async def main() -> None:
    """Migrate in one transaction, while nobody else does: all of it is done, or nothing."""
    engine = create_engine(get_settings())
    deadline = asyncio.get_running_loop().time() + WAIT
    while True:
        try:
            connection = await engine.connect()
            break
        except DatabaseUnavailable:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.5)
    try:
        await lock(connection)
        await connection.run_sync(migrate)
    finally:
        await connection.close()
        await engine.dispose()


def migrate(connection: Connection) -> None:
    """Do what the command asks for."""
    context.configure(
        connection=connection,
        target_metadata=all_tables(),
        # SQLite undoes changes of tables like PostgreSQL, but Alembic does not count on it.
        transactional_ddl=True,
        # A change that SQLite has no statement for is made by a copy of the table.
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


configure_logging(get_settings())
asyncio.run(main())
