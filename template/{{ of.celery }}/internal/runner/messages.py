"""Sends the messages that tell a worker where to look, and counts those that wait."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from kombu.exceptions import (  # type: ignore[attr-defined]
    BatchPublishError,
    ChannelError,
    OperationalError,
)
from redis import RedisError

from internal.celery_app import app
from internal.runner import queues
from internal.runner.errors import EngineUnavailable
from internal.runner.records import Message

ERRORS = (OperationalError, ChannelError, BatchPublishError, RedisError, OSError, RuntimeError)
"""What kombu and its clients raise while the broker is away."""

_declared: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def send(message: Message) -> None:
    """Send a job's message; raise `EngineUnavailable`."""
    with broker():
        try:
            with app.producer_or_acquire() as producer:
                publish(producer, message)
        except ChannelError:
            # A new broker in the place of the old one knows no queue: a new channel declares it.
            with app.connection_for_write() as connection:
                publish(app.amqp.Producer(connection), message)


def send_all(messages: Sequence[Message]) -> None:
    """Send the messages of several jobs together; raise `EngineUnavailable`."""
    if len(messages) > 1:
        try:
            with app.producer_or_acquire() as producer, producer.batch():
                for message in messages:
                    publish(producer, message)
        except ERRORS:
            # The connection may have ended while it was idle. For a single message a new one is
            # made, and a job's second message does no harm.
            pass
        else:
            return
    for message in messages:
        send(message)


def publish(producer: Any, message: Message) -> None:
    """Send a job's message by a producer of one's own."""
    # What the job is called with is in its record.
    task_message = app.amqp.create_task_message(
        message.id, message.task, (), {}, origin="", argsrepr="()", kwargsrepr="{}"
    )
    declared = _declared.setdefault(producer.channel, set())
    app.amqp.send_task_message(
        producer,
        message.task,
        task_message,
        queue=queues.declaration(message.queue),
        # Once for each channel: to find out that nothing is to be declared costs as much as to send.
        declare=() if message.queue in declared else None,
    )
    declared.add(message.queue)


def bulk_connection() -> Any:
    """Return a connection for many messages, which are sent without publisher confirms.

    If one is lost, the sweep finds its job.
    """
    return without_confirms(app.connection_for_write())


def without_confirms(connection: Any) -> Any:
    """Return the connection, set to send its messages without publisher confirms."""
    connection.transport_options = {**connection.transport_options, "confirm_publish": False}
    return connection


def publish_all(connection: Any, messages: Iterable[Message]) -> None:
    """Send many messages together."""
    # To close the channel is to wait until the broker has all of them.
    with connection.channel() as channel:
        producer: Any = app.amqp.Producer(channel, auto_declare=False)
        with producer.batch():
            for message in messages:
                publish(producer, message)


def waiting(connection: Any, queue: str) -> int:
    """Return how many messages wait in a policy's queue."""
    with connection.channel() as channel:
        try:
            return int(queue_size(channel, queues.name_of(queue)))
        except ChannelError:
            return 0  # An empty queue, or one that nobody has used yet, may be unknown.


def queue_size(channel: Any, name: str) -> int:
    """Return how many messages wait in a queue of the broker."""
    count: int = channel.queue_declare(name, passive=True).message_count
    return count


def check() -> None:
    """Raise `EngineUnavailable` if the broker does not answer."""
    with broker(), app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)


@contextmanager
def broker() -> Iterator[None]:
    """Raise `EngineUnavailable` for the errors of an absent broker."""
    try:
        yield
    except ERRORS as error:
        # An answer that was waited for in vain leaves no text.
        raise EngineUnavailable(
            f"The broker is not available: {str(error) or 'it did not answer in time'}"
        ) from error
