"""What SQLite's locks mean for others."""

import pytest
from sqlalchemy import text

from internal.config import Settings
from internal.database import DatabaseUnavailable, engine, reading, transaction


async def test_a_lock_that_is_held_for_too_long_is_an_outage_for_those_that_write(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write() -> None:
        async with transaction(settings) as session:
            await session.execute(text("DELETE FROM contacts"))

    monkeypatch.setattr(engine, "LOCK_TIMEOUT", 0.1)
    async with transaction(settings) as session:
        await session.execute(text("INSERT INTO contacts VALUES ('a@example.com', 'A')"))
        with pytest.raises(DatabaseUnavailable, match="database is locked"):
            await write()
        async with reading(settings) as session:
            assert await session.scalar(text("SELECT count(*) FROM contacts")) == 0
