"""The database: `transaction` is what code that reads or writes records needs."""

from internal.database.engine import insert
from internal.database.errors import DatabaseUnavailable
from internal.database.sessions import check, reading, transaction

__all__ = ["DatabaseUnavailable", "check", "insert", "reading", "transaction"]
