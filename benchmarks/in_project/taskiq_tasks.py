"""The same two tasks for Taskiq, and a program that enqueues them: `... TASK NUMBER`."""

import asyncio
import logging
import os
import sys
from typing import Any

from taskiq import TaskiqMessage, TaskiqMiddleware, TaskiqResult
from taskiq_aio_pika import AioPikaBroker
from taskiq_redis import RedisStreamBroker

log = logging.getLogger("bench")


class LogEach(TaskiqMiddleware):
    """Log the end of each job, as Celery does."""

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Say it in Celery's words."""
        log.info("Task %s[%s] succeeded in 0s", message.task_name, message.task_id)


url = os.environ["CELERY_BROKER_URL"]
# Of its brokers for Redis, this is the one that acknowledges.
broker = AioPikaBroker(url) if "amqp" in url else RedisStreamBroker(url)
broker.add_middlewares(LogEach())


@broker.task(task_name="nothing")
async def nothing() -> None:
    """Do nothing."""


@broker.task(task_name="wait")
async def wait() -> None:
    """Wait 10 ms."""
    await asyncio.sleep(0.01)


async def main(task: str, number: int) -> None:
    """Enqueue so many jobs."""
    await broker.startup()
    for _ in range(number):
        await {"nothing": nothing, "wait": wait}[task].kiq()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
