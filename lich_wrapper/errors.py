"""The wrapper's one error class, and the exit codes of its commands."""

import enum

__all__ = ["Exit", "LichError"]


class Exit(enum.IntEnum):
    """The exit codes of `lich`."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    CONFLICTS = 3
    UPDATE_EXISTS = 4
    INTERRUPTED = 130


class LichError(Exception):
    """Anything the user can act on: the value, the reason and the way out, in one sentence."""

    def __str__(self) -> str:
        """Return the message on one line, even if it quotes several lines."""
        return " ".join(super().__str__().split())
