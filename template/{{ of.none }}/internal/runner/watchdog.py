"""Notices when a job blocks the event loop of the API, and names it in the log."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

LIMIT = 2.0
"""The event loop is called blocked after so many seconds."""

_log = logging.getLogger(__name__)


class Watchdog(threading.Thread):
    """Watches the event loop that it is started on, until `end`."""

    def __init__(self, describe: Callable[[str], str | None]) -> None:
        """`describe` returns a job's kind and file from the name of the task that runs it."""
        super().__init__(name="watchdog", daemon=True)
        self._describe = describe
        self._loop = asyncio.get_running_loop()
        self._answered = time.monotonic()
        self._ended = threading.Event()

    def run(self) -> None:
        """Ask the event loop for an answer now and then, and report that it gives none."""
        asked, reported = self._answered, False
        while not self._ended.wait(LIMIT / 4):
            if self._answered >= asked:
                asked, reported = time.monotonic(), False
                self._loop.call_soon_threadsafe(self._answer)
            elif not reported and time.monotonic() - asked > LIMIT:
                reported = True
                self._report()

    def end(self) -> None:
        """Watch no more."""
        self._ended.set()

    def _answer(self) -> None:
        self._answered = time.monotonic()

    def _report(self) -> None:
        task = asyncio.current_task(self._loop)
        job = self._describe(task.get_name()) if task else None
        _log.error(
            "%s blocks the event loop, and the API and all other jobs wait: write `def run` for"
            " code that blocks, which then runs in a thread",
            job or "something",
        )
