"""The tables: the classes of all files here are found, and docs/database.md says how to add one."""

from importlib import import_module
from pkgutil import iter_modules
from typing import ClassVar

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """What every table's class inherits from."""

    __table__: ClassVar[Table]

    # Migrations change a constraint by its name, so each needs one that is known.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def all_tables() -> MetaData:
    """Import every file of this folder, and return the tables."""
    for module in iter_modules(__path__, f"{__name__}."):
        import_module(module.name)
    return Base.metadata
