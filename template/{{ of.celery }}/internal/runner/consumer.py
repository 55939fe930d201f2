"""Celery's consumer, which neither a bad message ends nor a broker that takes no messages blocks.

Celery itself deletes messages that it cannot use, and fails at others: delivered again, such a message
would end every worker. And before it consumes anything, and before it ends, it publishes messages to
the other workers: a broker with a memory or disk alarm confirms none, so no worker would empty its
queues.
"""

import logging
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from kombu import Message, compression
from redis import RedisError
from vine import promise

from internal.celery_app import app
from internal.runner import messages, records
from internal.runner.dead_letters import put_aside
from internal.runner.errors import JobNotFound

_log = logging.getLogger(__name__)

_Consumer: Any = CeleryConsumer


class Consumer(_Consumer):  # type: ignore[misc]
    """Puts aside every message that is no job."""

    def __init__(self, *args: Any, worker_options: Any = None, **kwargs: Any) -> None:
        # What workers would tell each other is in the records. Without that, they also start three
        # times faster.
        alone = {"without_mingle": True, "without_gossip": True}
        super().__init__(*args, worker_options={**(worker_options or {}), **alone}, **kwargs)

    def connection_for_write(self, url: str | None = None, heartbeat: float | None = None) -> Any:
        """Return a connection for events, which does not wait for publisher confirms."""
        connection: Any = self.app.connection_for_write(url=url, heartbeat=heartbeat)
        return self.ensure_connected(messages.without_confirms(connection))

    def create_task_handler(self, promise: Any = promise) -> Callable[[Message], None]:
        """Return what is done with a message."""
        handle = super().create_task_handler(promise)

        def receive(message: Message) -> None:
            try:
                handle(message)
            except Exception as error:
                # kombu counts a KeyError among the errors of a connection.
                if isinstance(error, self.connection_errors) and not isinstance(error, KeyError):
                    raise
                put_aside(message, f"{type(error).__name__}: {error}")

        return receive

    def on_unknown_message(self, body: Any, message: Message) -> None:
        """Put aside a message that names no task."""
        put_aside(message, "It names no task.")

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:
        """Put aside a message of a task that this worker does not know, unless it is of a job."""
        headers: Any = message.headers
        task, job_id = headers.get("task"), headers.get("id")
        if isinstance(job_id, str) and _is_recorded(job_id):
            # An older worker during a deployment: the sweep sends it until a newer one takes it.
            _log.error("job %s waits for a worker that knows the task %s", job_id, task)
            message.ack_log_error(_log, (Exception,))
        else:
            put_aside(message, f"There is no task {task}.")

    def on_invalid_task(self, body: Any, message: Message, exc: Exception) -> None:
        """Put aside a message that no task can be called with."""
        put_aside(message, f"{type(exc).__name__}: {exc}")

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Put aside a message that is not written in JSON."""
        put_aside(message, f"{type(exc).__name__}: {exc}")


def _is_recorded(job_id: str) -> bool:
    try:
        records.run(records.get(job_id))
    except JobNotFound:
        return False
    except UnicodeError:
        return False  # Redis has no such id.
    except RedisError:
        return True
    return True


def _refuse(_body: bytes) -> bytes:
    raise ValueError("It is compressed, which could hide gigabytes.")


if not app.conf.task_compression:
    _compression: Any = compression
    for _kind in _compression.encoders():
        _compression.register(_compression.get_encoder(_kind)[0], _refuse, _kind)
