"""The error that says that the database is away."""

from typing import Self

from internal.errors import Unavailable


class DatabaseUnavailable(Unavailable):
    """The database does not answer, refuses the connection, or has no tables yet."""

    @classmethod
    def because(cls, reason: object) -> Self:
        """Return the error with its reason, which is short if it is the driver's."""
        return cls(f"The database is not available: {getattr(reason, 'orig', None) or reason}")
