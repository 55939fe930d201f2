"""Contacts, and how far the imports of them are."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, func
from sqlalchemy.orm import Mapped, mapped_column

from internal.models import Base


class Contact(Base):
    """Somebody who can be written to."""

    __tablename__ = "contacts"

    email: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


class Import(Base):
    """How far the import of a file is."""

    __tablename__ = "imports"

    id: Mapped[str] = mapped_column(primary_key=True)
    rows_done: Mapped[int]
    rows_total: Mapped[int] = mapped_column(server_default="0")
    position: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The offset, in bytes, at which the next row begins."""
    file_version: Mapped[str] = mapped_column(server_default="")
    """The state of the file to which the number of its rows and the position belong."""
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )
