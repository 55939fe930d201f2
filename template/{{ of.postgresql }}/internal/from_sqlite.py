"""Bring the rows of a SQLite file over to PostgreSQL: `python -m internal.from_sqlite FILE`.

Both must be at the same migrations, and the tables here empty. All rows come over, or none.
"""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Table, create_engine, exists, func, insert, select, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncSession

from internal.database import transaction
from internal.models import all_tables

BATCH = 5_000
"""How many rows are read and written together."""

MIGRATIONS = text("SELECT version_num FROM alembic_version ORDER BY version_num")


class NotBroughtOver(Exception):
    """Anything the user can act on: no such file, other migrations, rows that are there already."""


async def bring_over(path: Path) -> dict[str, int]:
    """Copy all rows of the file, and return how many each table had; raise `NotBroughtOver`."""
    # The file is only read, and not made if it is missing.
    source = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    try:
        with source.connect() as old:
            async with transaction() as session:
                await _require_the_same_migrations(old, session, path)
                tables = all_tables().sorted_tables
                return {table.name: await _copy(table, old, session) for table in tables}
    except DatabaseError as error:
        raise NotBroughtOver(f"{path} cannot be brought over: {error.orig}") from error
    finally:
        source.dispose()


async def _require_the_same_migrations(old: Connection, session: AsyncSession, path: Path) -> None:
    of_the_file = old.scalars(MIGRATIONS).all()
    if of_the_file != (await session.scalars(MIGRATIONS)).all():
        raise NotBroughtOver(
            f"{path} has other migrations than this database. Run `alembic upgrade heads` here, and"
            " on the file with the code that wrote it last."
        )


async def _copy(table: Table, old: Connection, session: AsyncSession) -> int:
    if await session.scalar(select(exists(select(table)))):
        raise NotBroughtOver(f"The table {table.name} has rows here: it must be empty.")
    copied = 0
    rows = old.execution_options(yield_per=BATCH).execute(select(table))
    for batch in rows.mappings().partitions():
        values = [{name: _with_zone(value) for name, value in row.items()} for row in batch]
        await session.execute(insert(table), values)
        copied += len(values)
    counter = table.autoincrement_column
    if copied and counter is not None:
        sequence = func.pg_get_serial_sequence(table.name, counter.name)
        await session.execute(select(func.setval(sequence, func.max(counter))).select_from(table))
    return copied


def _with_zone(value: object) -> object:
    """Return a time of SQLite, which knows no zones, as the UTC that it is."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def main() -> None:
    """Bring the rows over, and say how many."""
    parser = argparse.ArgumentParser(prog="python -m internal.from_sqlite")
    parser.add_argument("file", type=Path, help="such as data/app.db")
    try:
        copied = asyncio.run(bring_over(parser.parse_args().file))
    except NotBroughtOver as error:
        sys.exit(str(error))
    print(*(f"{name}: {rows} rows" for name, rows in copied.items()), sep="\n")


if __name__ == "__main__":
    main()
