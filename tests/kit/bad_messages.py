"""Messages that are no job, written straight into a queue of a broker."""

import json
import pickle
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import amqp
import redis

from tests.kit.brokers import RabbitMQ, Server

__all__ = ["FOR_REDIS", "NO_JOBS", "ODD_JOBS", "Letter", "write"]

NATIVE = "internal.jobs.faults.native"
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Letter:
    """A message; on Redis, one with `raw` is exactly that."""

    body: bytes | Callable[[], bytes] = b"[[], {}, {}]"
    headers: Mapping[str, Any] = field(default_factory=dict)
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    raw: bytes | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The body."""
        return self.body() if callable(self.body) else self.body


def native(**headers: Any) -> dict[str, Any]:
    """Return the headers of a message of the native task."""
    return {"task": NATIVE, "id": f"outside-{uuid4().hex}", **headers}


def bomb() -> bytes:
    """Return a megabyte that is a gigabyte when it is decompressed."""
    compress = zlib.compressobj()
    zeros = b"0" * MEGABYTE
    return b"".join(compress.compress(zeros) for _ in range(1_000)) + compress.flush()


def _enveloped(**changes: Any) -> Letter:
    """Return a message of kombu for Redis in which something is wrong."""
    message: dict[str, Any] = {
        "body": "",
        "headers": native(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "properties": {
            "delivery_tag": "tag",
            "delivery_info": {"exchange": "", "routing_key": "sample"},
            "body_encoding": "base64",
        },
    }
    message |= changes
    return Letter(raw=json.dumps({k: v for k, v in message.items() if v is not ...}).encode())


NO_JOBS: Mapping[str, Letter] = {
    "a number": Letter(b"42"),
    "an object": Letter(b'{"x": 1}'),
    "a list": Letter(b"[1]"),
    "null": Letter(b"null"),
    "nothing": Letter(b""),
    "half a JSON": Letter(b'{"task": "'),
    "JSON without an end": Letter(b"[" * 100_000),
    "binary": Letter(bytes(range(256)), content_type="application/octet-stream"),
    "binary that claims to be JSON": Letter(bytes(range(256))),
    "10 MB": Letter(b'"' + b"x" * 10 * MEGABYTE + b'"'),
    "the first protocol of Celery": Letter(
        json.dumps({"task": NATIVE, "id": "old", "args": [0], "kwargs": {}}).encode()
    ),
    "the first protocol with a strange task": Letter(b'{"task": [1], "id": "old"}'),
    "an unknown task": Letter(headers=native(task="internal.celery_tasks.nothing")),
    "an unknown job": Letter(headers=native(task="jobs.nothing")),
    "a task that is a number": Letter(headers=native(task=42)),
    "a task that is a list": Letter(headers=native(task=[1])),
    "a task that is an object": Letter(headers=native(task={"a": 1})),
    "a task that is null": Letter(headers=native(task=None)),
    "a task with an empty name": Letter(headers=native(task="")),
    "no id": Letter(headers={"task": NATIVE}),
    "an id that is null": Letter(headers=native(id=None)),
    "an id that is a number": Letter(headers=native(id=42)),
    "an id that is a list": Letter(headers=native(id=["a"])),
    "an empty id": Letter(headers=native(id="")),
    "a long id": Letter(headers=native(id="x" * 20_000)),
    "a job without a record": Letter(headers=native(task="jobs.sleep", id="sleep-nobody")),
    "a call that is a number": Letter(b"42", native()),
    "a call that is an object": Letter(b'{"x": 1}', native()),
    "a call that is too short": Letter(b"[1]", native()),
    "arguments that are a number": Letter(b"[1, {}, {}]", native()),
    "named arguments that are a list": Letter(b"[[], [1], {}]", native()),
    "10 MB instead of a call": Letter(b'"' + b"x" * 10 * MEGABYTE + b'"', native()),
    "pickle": Letter(
        pickle.dumps([[0], {}, {}]), native(), "application/x-python-serialize", "binary"
    ),
    "pickle that claims to be JSON": Letter(pickle.dumps([[0], {}, {}]), native()),
    "YAML": Letter(b"- [0]\n- {}\n- {}\n", native(), "application/x-yaml"),
    "an unknown type of content": Letter(headers=native(), content_type="text/nonsense"),
    "1 GB, compressed": Letter(bomb, native(compression="application/x-gzip")),
    "an unknown compression": Letter(headers=native(compression="application/x-nonsense")),
    "a compression that is a number": Letter(headers=native(compression=42)),
}
"""What must be put aside, by what it is."""

FOR_REDIS: Mapping[str, Letter] = {
    "not even JSON": Letter(raw=b"\xff\xfe garbage"),
    "an empty text": Letter(raw=b""),
    "a bare number": Letter(raw=b"42"),
    "a bare object": Letter(raw=b'{"x": 1}'),
    "a bare list": Letter(raw=b"[1]"),
    "a message without a body": _enveloped(body=...),
    "a body that is a number": _enveloped(body=42),
    "a body that is not base64": _enveloped(body="a"),
    "headers that are a list": _enveloped(headers=[1]),
    "headers that are null": _enveloped(headers=None),
    "no properties": _enveloped(properties=...),
    "properties without a tag": _enveloped(properties={"delivery_info": {}}),
    "a tag that is a list": _enveloped(
        properties={"delivery_tag": [1], "delivery_info": {"exchange": "", "routing_key": "a"}}
    ),
    "a type of content that is a number": _enveloped(**{"content-type": 42}),
}
"""What only a list of Redis can hold."""

ODD_JOBS: Mapping[str, Letter] = {
    "too many arguments": Letter(b"[[1, 2, 3], {}, {}]", native()),
    "an unknown encoding": Letter(b"[[0], {}, {}]", native(), content_encoding="utf-99"),
    "unknown named arguments": Letter(b'[[], {"nothing": 1}, {}]', native()),
    "an argument of a wrong type": Letter(b'[["x"], {}, {}]', native()),
    "a strange time": Letter(b"[[0], {}, {}]", native(eta="tomorrow", expires="never")),
    "a strange number of retries": Letter(b"[[0], {}, {}]", native(retries="many")),
    "strange limits": Letter(b"[[0], {}, {}]", native(timelimit="long", group=42)),
    "strange callbacks": Letter(b'[[0], {}, {"callbacks": 42, "chord": "x"}]', native()),
    "a strange address for the answer": Letter(
        b"[[0], {}, {}]", native(), properties={"reply_to": "\u2028", "correlation_id": "x" * 200}
    ),
}
"""What is a job of the native task, which then ends in one way or another."""


def write(broker: Server, queue: str, letter: Letter) -> None:
    """Write a message into a queue."""
    if isinstance(broker, RabbitMQ):
        _write_to_rabbitmq(broker, queue, letter)
    else:
        with redis.Redis.from_url(f"{broker.url}/0") as client:
            client.lpush(queue, _for_redis(queue, letter))


def _write_to_rabbitmq(broker: RabbitMQ, queue: str, letter: Letter) -> None:
    connection = amqp.Connection(f"127.0.0.1:{broker.port}", confirm_publish=True)
    with connection:
        message = amqp.Message(
            letter.content,
            content_type=letter.content_type,
            content_encoding=letter.content_encoding,
            application_headers=dict(letter.headers),
            **letter.properties,
        )
        connection.channel().basic_publish(message, routing_key=queue)


def _for_redis(queue: str, letter: Letter) -> bytes:
    if letter.raw is not None:
        return letter.raw
    message = {
        "body": b64encode(letter.content).decode(),
        "headers": letter.headers,
        "content-type": letter.content_type,
        "content-encoding": letter.content_encoding,
        "properties": {
            "delivery_tag": "from-outside",
            "delivery_info": {"exchange": "", "routing_key": queue},
            "body_encoding": "base64",
            **letter.properties,
        },
    }
    return json.dumps(message).encode()
