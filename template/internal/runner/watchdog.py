"""Notices when code blocks the event loop on which jobs run, and names the job in the log."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT = 2.0
"""After so many seconds without an answer, the event loop is called blocked."""

_PROJECT = str(Path(__file__).parent.parent.parent)
_RUNNER = str(Path(__file__).parent)
_LIBRARIES = (sys.prefix, sys.base_prefix)

_log = logging.getLogger(__name__)


class Watchdog(threading.Thread):
    """Watches an event loop from a thread of its own, until `end`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name_of: Callable[[asyncio.Task[Any]], str | None],
    ) -> None:
        """`name_of` returns the kind and the id of the job that a task runs, if it runs one."""
        super().__init__(name="watchdog", daemon=True)
        self._loop = loop
        self._name_of = name_of
        self._answered = time.monotonic()
        self._asked = self._reported = False
        self._loop_thread = 0
        self._ended = threading.Event()

    @property
    def silence(self) -> float:
        """The number of seconds since the last answer: a few tenths, unless the loop is blocked."""
        return time.monotonic() - self._answered

    def run(self) -> None:
        """Ask the event loop for an answer now and then, and report that it gives none."""
        while not self._ended.is_set():
            if not self._asked:
                self._asked = True
                self._loop.call_soon_threadsafe(self._answer)
            elif not self._reported and self.silence > LIMIT:
                self._reported = True
                self._report()
            self._ended.wait(LIMIT / 5)

    def end(self) -> None:
        """Watch no more."""
        self._ended.set()

    def _answer(self) -> None:
        self._loop_thread = threading.get_ident()
        self._answered = time.monotonic()
        self._asked = self._reported = False

    def _report(self) -> None:
        task = asyncio.current_task(self._loop)
        _log.error(
            "%s blocks the event loop%s, and all other jobs of this process wait: write `def run`"
            " for code that blocks, which then runs in a thread",
            (task and self._name_of(task)) or "something",
            self._place(),
        )

    def _place(self) -> str:
        """Return where the event loop's thread is in the project's own code."""
        for frame, line in traceback.walk_stack(sys._current_frames().get(self._loop_thread)):
            file = frame.f_code.co_filename
            if file.startswith(_PROJECT) and not file.startswith((_RUNNER, *_LIBRARIES)):
                return f" in {Path(file).relative_to(_PROJECT)}, line {line}"
        return ""
