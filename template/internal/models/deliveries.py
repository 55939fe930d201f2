"""E-mails that a mail server has accepted."""

from datetime import datetime

from sqlalchemy import DateTime, func
from sqlalchemy.orm import Mapped, mapped_column

from internal.models import Base


class Delivery(Base):
    """A message that must not be sent again."""

    __tablename__ = "deliveries"

    message_id: Mapped[str] = mapped_column(primary_key=True)
    delivered_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
