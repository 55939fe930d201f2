"""kombu's transport for RabbitMQ, which waits for a confirmation after every message.

In a `Producer.batch()` RabbitMQ confirms here all messages at its end: as safe, and many times as
fast. When RabbitMQ blocks a connection for lack of memory or disk space, sending fails at once.
"""

from typing import Any

from amqp import AMQPError

# The types of kombu lack the first one.
from kombu.exceptions import BatchPublishError, OperationalError  # type: ignore[attr-defined]
from kombu.transport import pyamqp

_Channel: Any = pyamqp.Channel


class Batch:
    """The messages of one `Producer.batch()`."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def publish(self, message: Any, **options: Any) -> None:
        """Send one of them."""
        self.channel.send(message, **options)

    def flush(self) -> None:
        """Wait until all are confirmed."""
        self.channel.wait_until_confirmed()

    def discard(self) -> None:
        """Do nothing: what is sent cannot be taken back."""

    def close(self) -> None:
        """Do nothing: the channel stays."""


class Channel(_Channel):  # type: ignore[misc]
    """A channel that knows which of its messages are not confirmed yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sent = 0
        self._unconfirmed: set[int] = set()
        self._refused = False
        self.events["basic_ack"].add(self._on_confirmed)
        self.events["basic_nack"].add(self._on_refused)

    def basic_publish_confirm(self, *args: Any, **kwargs: Any) -> None:
        """Send a message, and wait until it is confirmed."""
        self.send(*args, **kwargs)
        self._wait()

    def create_publish_batch(self, max_size: int) -> Batch:
        """Return what a `Producer.batch()` sends by."""
        return Batch(self)

    def send(self, *args: Any, **kwargs: Any) -> None:
        """Send a message, and do not wait."""
        if not self._sent:
            self._confirm_selected = True
            self.confirm_select()
        self._sent += 1
        self._unconfirmed.add(self._sent)
        kwargs.pop("confirm_timeout", None)
        self._basic_publish(*args, **kwargs)

    def wait_until_confirmed(self) -> None:
        """Raise `BatchPublishError` if that fails, or if RabbitMQ refuses a message."""
        try:
            self._wait()
        except AMQPError as error:
            raise BatchPublishError(f"RabbitMQ does not confirm: {error}") from error

    def _wait(self) -> None:
        connection = self.connection
        while self._unconfirmed and not connection.is_blocked:
            connection.drain_events()
        if self._unconfirmed:
            # RabbitMQ reads nothing of this connection, not even that it is to be closed.
            connection.collect()
            raise OperationalError(
                "RabbitMQ takes no messages until it has more memory or disk space"
            )
        if self._refused:
            self._refused = False
            raise BatchPublishError("RabbitMQ refused a message")

    def _on_confirmed(self, number: int, multiple: bool) -> None:
        numbers = [n for n in self._unconfirmed if n <= number] if multiple else [number]
        self._unconfirmed.difference_update(numbers)

    def _on_refused(self, number: int, multiple: bool) -> None:
        self._refused = True
        self._on_confirmed(number, multiple)


class Connection(pyamqp.Connection):
    """A connection with such channels, which notes whether RabbitMQ has blocked it."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_blocked = False
        self.on_blocked = self._block
        self.on_unblocked = self._unblock

    def _block(self, _reason: str) -> None:
        self.is_blocked = True

    def _unblock(self) -> None:
        self.is_blocked = False


class Transport(pyamqp.Transport):
    """What `amqp://` stands for (`celery_app.py`)."""

    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):
    """What `amqps://` stands for."""

    Connection = Connection
