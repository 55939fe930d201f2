"""kombu's transport for Redis, which makes a new Redis client for every message that it sends.

A client holds no state: with one for each channel, sending costs half as much.
"""

from functools import cached_property
from typing import Any

from kombu.transport import redis

_Channel: Any = redis.Channel


class Channel(_Channel):  # type: ignore[misc]
    """A channel with one client for all it does, but for the connection that waits."""

    @cached_property
    def _shared_client(self) -> Any:
        return super()._create_client()

    def _create_client(self, asynchronous: bool = False) -> Any:
        return super()._create_client(True) if asynchronous else self._shared_client


class Transport(redis.Transport):
    """What `redis://` and `rediss://` stand for (`celery_app.py`)."""

    Channel = Channel
