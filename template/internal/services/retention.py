"""What is past its retention is removed."""

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete

from internal.config import Settings
from internal.database import transaction
from internal.models.contacts import Import
from internal.models.deliveries import Delivery
from internal.storage import remove_old_uploads


class Removed(BaseModel):
    """How much a clean-up removed."""

    model_config = ConfigDict(frozen=True)

    outbox_files: int
    uploads: int = 0
    records: int


async def clean_up(settings: Settings) -> Removed:
    """Remove outbox files, uploads, and records of deliveries and imports, that are too old."""
    oldest = datetime.now(UTC) - timedelta(days=settings.retention_days)
    outbox_files = 0
    for path in settings.outbox_dir.glob("*.eml"):
        if path.stat().st_mtime < oldest.timestamp():
            path.unlink(missing_ok=True)
            outbox_files += 1
    uploads = await remove_old_uploads(oldest, settings)
    records = 0
    async with transaction(settings) as session:
        connection = await session.connection()
        for statement in (
            delete(Delivery).where(Delivery.delivered_at < oldest),
            delete(Import).where(Import.updated_at < oldest),
        ):
            records += (await connection.execute(statement)).rowcount
    return Removed(outbox_files=outbox_files, uploads=uploads, records=records)
