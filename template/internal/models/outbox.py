"""Jobs that were enqueued in a transaction, until the task runner has them."""

from datetime import datetime

from sqlalchemy import DateTime, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from internal.models import Base


class OutboxJob(Base):
    """A job that is still to be handed over."""

    __tablename__ = "outbox"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    key: Mapped[str]
    """The idempotency key, by which a second handing over does no harm."""
    enqueued_by: Mapped[str | None]
    input: Mapped[str] = mapped_column(Text)
    """The job's fields, as JSON."""
    at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Before this time the job is not run."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    due: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), index=True)
    """When it is handed over if that has not been done before; never, if it cannot be."""
    attempts: Mapped[int] = mapped_column(server_default="0")
    """How often that was tried after the process that enqueued it had not done so."""
    error: Mapped[str | None] = mapped_column(Text)
    """Why the task runner has not taken it."""
