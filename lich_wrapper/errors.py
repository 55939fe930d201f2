"""The one error class of the wrapper and the exit codes that its commands share."""

import enum

__all__ = ["Exit", "LichError"]


class Exit(enum.IntEnum):
    """What the exit code of `lich` says."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    CONFLICTS = 3
    UPDATE_EXISTS = 4
    INTERRUPTED = 130


class LichError(Exception):
    """Anything the user can act on: the value, the reason and the way out, in one sentence."""

    def __str__(self) -> str:
        """Return the message on one line, whatever it was made of."""
        return " ".join(super().__str__().split())
