"""What is past its retention is removed."""

import time
from datetime import timedelta

from pydantic import BaseModel, ConfigDict

from internal.config import Settings
from internal.services.database import connect


class Removed(BaseModel):
    """How much a clean-up removed."""

    model_config = ConfigDict(frozen=True)

    outbox_files: int
    records: int


async def clean_up(settings: Settings) -> Removed:
    """Remove outbox files, and records of deliveries and imports, that are too old."""
    age = timedelta(days=settings.retention_days)
    oldest = time.time() - age.total_seconds()
    outbox_files = 0
    for path in settings.outbox_dir.glob("*.eml"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
            outbox_files += 1
    records = 0
    async with connect(settings.data_dir) as database:
        for statement in (
            "DELETE FROM deliveries WHERE delivered_at < datetime(?, 'unixepoch')",
            "DELETE FROM imports WHERE updated_at < datetime(?, 'unixepoch')",
        ):
            cursor = await database.execute(statement, (oldest,))
            records += cursor.rowcount
    return Removed(outbox_files=outbox_files, records=records)
