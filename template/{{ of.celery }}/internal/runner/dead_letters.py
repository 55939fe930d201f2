"""Messages that are no job: a worker puts them aside, where a person finds them.

python -m internal.runner.dead_letters     # prints the newest of them, and why each is no job
"""

import json
import logging
import time
from typing import Any

from kombu import Message
from redis import RedisError

from internal.runner import records

KEPT = 1_000
"""How many are kept; then the oldest is forgotten."""

LENGTH = 5_000
"""How many characters are kept of headers, and of a body."""

_log = logging.getLogger(__name__)


class NoJob(Exception):
    """A message is no job; the text says why."""


def put_aside(message: Message, reason: str) -> None:
    """Keep what a message says and why it is no job, and take it out of its queue."""
    queue = message.delivery_info.get("routing_key")
    reason = reason[:LENGTH]
    _log.error("a message in the queue %s is no job, and was put aside: %s", queue, reason)
    entry = {
        "at": time.strftime("%FT%TZ", time.gmtime()),
        "queue": queue,
        "reason": reason,
        "headers": repr(message.headers)[:LENGTH],
        "body": _text(message.body)[:LENGTH],
    }
    try:
        keep: Any = records.connection().pipeline()
        keep.lpush(_key(), json.dumps(entry)).ltrim(_key(), 0, KEPT - 1).execute()
    except RedisError as error:
        _log.error("what the message said could not be kept: %s", error)
    message.reject_log_error(_log, (Exception,))


def newest(limit: int = 20) -> list[str]:
    """Return the messages that were put aside last, as JSON."""
    redis: Any = records.connection()
    found: list[str] = redis.lrange(_key(), 0, limit - 1)
    return found


def _text(body: Any) -> str:
    if isinstance(body, bytes | memoryview):
        return bytes(body[:LENGTH]).decode(errors="backslashreplace")
    return str(body)


def _key() -> str:
    return f"{records.prefix()}dead-letters"


if __name__ == "__main__":
    print("\n".join(newest()) or "No message was put aside.")
