"""The worker's health, for whatever runs it: it serves `/livez` and `/readyz` on localhost.

The server is asked whether it sees this very worker poll: that a process is there, or a
connection, proves nothing. An event loop that is blocked gives no answer at all. A worker whose
database is away is not ready, but a restart would be of no use.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from internal import database
from internal.runner.jobs_loop import jobs_loop

INTERVAL = 5.0
"""The seconds between two questions to the server."""

FIRST_INTERVAL = 0.5
"""The seconds between two questions until the server has seen the worker poll."""

ANSWER_EXPIRES = 3 * INTERVAL
"""Without an answer for so many seconds, the worker is not ready."""

POLL_EXPIRES = 90.0
"""A poll lasts up to 60 seconds: when the last one is older than this, polling has ended."""

_log = logging.getLogger(__name__)


class Health:
    """What the server says of the worker, and when it said so."""

    def __init__(self) -> None:
        self._answered = float("-inf")
        self._polled = 0.0
        self._last_poll = 0

    @property
    def live(self) -> bool:
        """Whether a restart would be of no use: the worker polls, or has no server to poll.

        And jobs can run.
        """
        return self._answered - self._polled < POLL_EXPIRES and not jobs_loop().stuck

    @property
    def ready(self) -> bool:
        """Whether the worker gets work."""
        answered = time.monotonic() - self._answered < ANSWER_EXPIRES
        return answered and self._last_poll > 0 and self.live

    @asynccontextmanager
    async def serve(self, port: int | None) -> AsyncIterator[None]:
        """Answer probes at a port of this machine, if one is given."""
        if port is None:
            yield
        else:
            async with await asyncio.start_server(self._answer, "127.0.0.1", port):
                yield

    @asynccontextmanager
    async def watch(self, workers: Sequence[Worker]) -> AsyncIterator[asyncio.Event]:
        """Ask the server about workers that run; the event is set if they are better replaced."""
        back = asyncio.Event()
        watching = asyncio.create_task(self._watch(workers, back))
        try:
            yield back
        finally:
            watching.cancel()
            self._answered = float("-inf")

    async def _watch(self, workers: Sequence[Worker], back: asyncio.Event) -> None:
        self._polled, self._last_poll = time.monotonic(), 0
        away_since = None
        while True:
            try:
                poll = min([await _last_poll(each.client, each.task_queue) for each in workers])
            except RPCError as error:
                if away_since is None:
                    away_since = time.monotonic()
                    _log.warning("no answer from Temporal, the worker tries on: %s", error)
            else:
                self._answered = time.monotonic()
                if poll > self._last_poll:
                    self._polled, self._last_poll = self._answered, poll
                if away_since is not None:
                    _log.info("Temporal answers again")
                    if self._answered - away_since > INTERVAL:
                        # The worker's pauses between two polls have grown to 10 seconds.
                        back.set()
                    away_since = None
            settled = self._last_poll and away_since is None
            await asyncio.sleep(INTERVAL if settled else FIRST_INTERVAL)

    async def _why_not_ready(self) -> str:
        if not self.ready:
            return "Temporal does not see the worker poll."
        try:
            # With the connections that jobs use.
            await jobs_loop().run(database.check, "the health check")
        except database.DatabaseUnavailable as error:
            return str(error)
        return ""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(INTERVAL):
                _, path, _ = (await reader.readline()).split()
                match path:
                    case b"/livez":
                        problem = "" if self.live else "The worker no longer polls."
                    case b"/readyz":
                        problem = await self._why_not_ready()
                    case _:
                        problem = "There is no such probe."
                body = problem.encode()
                status = b"503 Service Unavailable" if problem else b"200 OK"
                length = b"Content-Length: %d" % len(body)
                writer.write(b"HTTP/1.1 " + status + b"\r\n" + length + b"\r\n\r\n" + body)
                await writer.drain()
        writer.close()


async def _last_poll(client: Client, task_queue: str) -> int:
    """Return when the server last saw this process poll, by the server's clock; 0 for never."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    answer = await client.workflow_service.describe_task_queue(
        request, timeout=timedelta(seconds=INTERVAL)
    )
    polls = [
        poller.last_access_time.ToNanoseconds()
        for poller in answer.pollers
        if poller.identity == client.identity
    ]
    return max(polls, default=0)
