"""kombu's transport for Redis, with two changes.

kombu makes a new Redis client for every message that it sends. A client holds no state: with one for
each channel, sending costs half as much. And what kombu cannot read ends its process: here it is
delivered, so that the worker puts it aside (consumer.py).
"""

import json
from base64 import b64decode, b64encode
from functools import cached_property
from typing import Any, Self
from uuid import uuid4

from kombu.transport import redis
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

_Channel: Any = redis.Channel


class _DeliveryInfo(BaseModel):
    exchange: str
    routing_key: str


class _Properties(BaseModel):
    delivery_tag: str
    delivery_info: _DeliveryInfo
    body_encoding: str | None = None


class _Envelope(BaseModel):
    """What kombu relies on in what it takes from a list of Redis."""

    model_config = ConfigDict(strict=True)

    body: str
    headers: dict[str, Any]
    properties: _Properties
    content_type: str | None = Field(default=None, alias="content-type")
    content_encoding: str | None = Field(default=None, alias="content-encoding")

    @model_validator(mode="after")
    def _decode(self) -> Self:
        if self.properties.body_encoding == "base64":
            b64decode(self.body)
        elif self.properties.body_encoding is not None:
            raise ValueError("the body has an unknown encoding")
        return self


def readable(reply: list[bytes] | None, **_: Any) -> tuple[bytes, bytes] | None:
    """Return what BRPOP took from a queue; what kombu could not read becomes the body of a message."""
    if not reply:
        return None
    queue, content = reply
    try:
        _Envelope.model_validate_json(content)
    except ValidationError:
        properties = {
            "body_encoding": "base64",
            "delivery_tag": uuid4().hex,
            "delivery_info": {"exchange": "", "routing_key": queue.decode()},
        }
        message = {
            "body": b64encode(content).decode(),
            "content-type": "application/octet-stream",
            "content-encoding": "binary",
            "headers": {},
            "properties": properties,
        }
        content = json.dumps(message).encode()
    return queue, content


class Channel(_Channel):  # type: ignore[misc]
    """A channel with one client for all it does, but for the connection that waits."""

    @cached_property
    def _shared_client(self) -> Any:
        return super()._create_client()

    def _create_client(self, asynchronous: bool = False) -> Any:
        if not asynchronous:
            return self._shared_client
        client = super()._create_client(True)
        client.set_response_callback("BRPOP", readable)
        return client


class Transport(redis.Transport):
    """What `redis://` and `rediss://` stand for (`celery_app.py`)."""

    Channel = Channel
