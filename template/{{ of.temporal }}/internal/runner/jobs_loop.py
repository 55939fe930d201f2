"""The event loop on which jobs run, in a thread of its own.

A job that blocks it stops other jobs of this worker, but no heartbeats, so that these are not
taken for lost, and not the worker itself, which says which job it is.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from internal import logs
from internal.config import get_settings
from internal.runner.attempts import THREAD_GRACE
from internal.runner.queues import concurrency, queues_of_worker

BLOCKED = 5.0
"""The loop is called blocked after so many seconds."""

STUCK = 120.0
"""After so many, it is better to start the worker again."""

_R = TypeVar("_R")

_log = logging.getLogger(__name__)


class JobsLoop:
    """An event loop that runs until the process ends."""

    def __init__(self, threads: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(threads))
        self._names: dict[asyncio.Task[object], tuple[str, str]] = {}
        self._seen = time.monotonic()
        self._loop.call_soon(self._tick)
        threading.Thread(target=self._loop.run_forever, name="jobs", daemon=True).start()

    @property
    def silence(self) -> float:
        """For how many seconds something has blocked the loop."""
        return time.monotonic() - self._seen

    async def run(self, function: Callable[[], Awaitable[_R]], name: str) -> _R:
        """Run a job, whose `name` is for messages; when this is cancelled, cancel and await it."""
        task: asyncio.Task[object] | None = None
        cancelled = False

        async def run() -> _R:
            nonlocal task
            if cancelled:
                raise asyncio.CancelledError
            task = asyncio.current_task()
            assert task  # noqa: S101 - this runs in one
            self._names[task] = logs.job_id.get(), name
            try:
                return await function()
            finally:
                del self._names[task]

        def cancel() -> None:
            nonlocal cancelled
            cancelled = True
            if task:
                task.cancel()

        running = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self._loop))
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            self._loop.call_soon_threadsafe(cancel)
            # Longer than blocking code in a thread may take.
            await asyncio.wait([running], timeout=THREAD_GRACE + 1)
            if not running.done():
                _log.warning("%s was told to stop, but does not", name)
                raise
        return running.result()

    async def watch(self) -> None:
        """Say which job blocks the loop, whenever one does; does not return."""
        blocked = False
        while True:
            await asyncio.sleep(BLOCKED / 5)
            if self.silence < BLOCKED:
                blocked = False
            elif not blocked:
                blocked = True
                self._report()

    def _tick(self) -> None:
        self._seen = time.monotonic()
        self._loop.call_later(BLOCKED / 5, self._tick)

    def _report(self) -> None:
        job_id, name = "", "something"
        if task := asyncio.current_task(self._loop):
            job_id, name = self._names.get(task, (job_id, name))
        token = logs.job_id.set(job_id)
        _log.warning(
            "%s blocks the event loop, and all other jobs of this worker wait: write `def run` for"
            " code that blocks, which then runs in a thread",
            name,
        )
        logs.job_id.reset(token)


@cache
def jobs_loop() -> JobsLoop:
    """Return the loop of this process."""
    settings = get_settings()
    # As many threads as there can be jobs that block.
    return JobsLoop(sum(concurrency(settings, queue) for queue in queues_of_worker(settings)))
