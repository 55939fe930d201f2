"""Notices when a job blocks the worker's event loop, and says which.

Meanwhile nothing else in this process runs, so that the heartbeats of its other jobs would be
missed, and these taken for lost. A thread sends them instead.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from internal import logs
from internal.runner.definitions import Definition
from internal.runner.registry import file_of

LIMIT = 5.0
"""The loop is called blocked after so many seconds."""

PATIENCE = 120.0
"""Heartbeats are sent for a blocked loop for so many seconds; then others do its jobs."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Attempt:
    job_id: str
    kind: str
    file: str
    task_token: bytes


_attempts: dict["asyncio.Task[object]", _Attempt] = {}


@contextmanager
def watched(definition: Definition, info: activity.Info) -> Iterator[None]:
    """Know the current task as an attempt at a job."""
    task = asyncio.current_task()
    assert task  # noqa: S101 - this is called in one
    attempt = _Attempt(
        info.workflow_id or "", definition.kind, file_of(type(definition)), info.task_token
    )
    _attempts[task] = attempt
    try:
        yield
    finally:
        del _attempts[task]


@asynccontextmanager
async def watching(client: Client) -> AsyncIterator[None]:
    """Watch the current event loop."""
    watchdog = _Watchdog(client, asyncio.get_running_loop())
    thread = threading.Thread(target=watchdog.watch, name="watchdog", daemon=True)
    thread.start()
    signs = asyncio.create_task(watchdog.give_signs())
    try:
        yield
    finally:
        signs.cancel()
        watchdog.stop.set()


class _Watchdog:
    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self.stop = threading.Event()
        self._client = client
        self._loop = loop
        self._seen = time.monotonic()

    async def give_signs(self) -> None:
        while True:
            self._seen = time.monotonic()
            await asyncio.sleep(LIMIT / 5)

    def watch(self) -> None:
        blocked = False
        while not self.stop.wait(LIMIT / 5):
            silent = time.monotonic() - self._seen
            if silent < LIMIT:
                blocked = False
                continue
            if not blocked:
                blocked = True
                self._report()
            if silent < PATIENCE:
                asyncio.run(self._send_heartbeats())

    def _report(self) -> None:
        attempt = _attempts.get(asyncio.current_task(self._loop))  # type: ignore[arg-type]
        if attempt is None:
            _log.warning("the event loop is blocked, and all jobs of this worker wait")
            return
        logs.job_id.set(attempt.job_id)
        _log.warning(
            "%s blocks the event loop (%s), and all other jobs of this worker wait: write"
            " `def run` for code that blocks, which then runs in a thread",
            attempt.kind,
            attempt.file,
        )

    async def _send_heartbeats(self) -> None:
        for attempt in list(_attempts.values()):
            handle = self._client.get_async_activity_handle(task_token=attempt.task_token)
            try:
                await handle.heartbeat()
            except (RPCError, RuntimeError) as error:
                _log.debug("no heartbeat for %s: %s", attempt.job_id, error)
