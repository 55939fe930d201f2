"""The same two tasks for Dramatiq, and a program that enqueues them: `... TASK NUMBER`."""

import logging
import os
import sys
import time
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker

log = logging.getLogger("bench")


class LogEach(dramatiq.Middleware):
    """Log the end of each job, as Celery does."""

    def after_process_message(self, broker: Any, message: Any, **_: Any) -> None:
        """Say it in Celery's words."""
        log.info("Task %s[%s] succeeded in 0s", message.actor_name, message.message_id)


# Its client, pika, wants the name of the virtual host `/` encoded.
url = os.environ["CELERY_BROKER_URL"]
if url.endswith("//"):
    url = url.removesuffix("/") + "%2F"
broker = RabbitmqBroker(url=url, confirm_delivery=True) if "amqp" in url else RedisBroker(url=url)
broker.add_middleware(LogEach())
dramatiq.set_broker(broker)


@dramatiq.actor
def nothing() -> None:
    """Do nothing."""


@dramatiq.actor
def wait() -> None:
    """Wait 10 ms."""
    time.sleep(0.01)


if __name__ == "__main__":
    task = {"nothing": nothing, "wait": wait}[sys.argv[1]]
    for _ in range(int(sys.argv[2])):
        task.send()
