"""The event loop on which jobs run, in a thread of its own.

A job that blocks it stops other jobs of this worker, but no heartbeats, so that these are not
taken for lost.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from internal.config import get_settings
from internal.runner.attempts import THREAD_GRACE
from internal.runner.queues import concurrency, queues_of_worker
from internal.runner.watchdog import Watchdog

STUCK = 120.0
"""When it has been blocked for so many seconds, it is better to start the worker again."""

_R = TypeVar("_R")

_log = logging.getLogger(__name__)


class JobsLoop:
    """An event loop that runs until the process ends."""

    def __init__(self, threads: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(threads))
        self._names: dict[asyncio.Task[Any], str] = {}
        self._watchdog = Watchdog(self._loop, self._names.get)
        threading.Thread(target=self._loop.run_forever, name="jobs", daemon=True).start()
        self._watchdog.start()

    @property
    def stuck(self) -> bool:
        """Whether something blocks the loop for too long."""
        return self._watchdog.silence > STUCK

    async def run(self, function: Callable[[], Awaitable[_R]], name: str) -> _R:
        """Run a job, whose `name` is for messages; when this is cancelled, cancel and await it."""
        task: asyncio.Task[Any] | None = None
        cancelled = False

        async def run() -> _R:
            nonlocal task
            if cancelled:
                raise asyncio.CancelledError
            task = asyncio.current_task()
            assert task  # noqa: S101 - this runs in one
            self._names[task] = name
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


@cache
def jobs_loop() -> JobsLoop:
    """Return the loop of this process."""
    settings = get_settings()
    # As many threads as there can be jobs that block.
    return JobsLoop(sum(concurrency(settings, queue) for queue in queues_of_worker(settings)))
