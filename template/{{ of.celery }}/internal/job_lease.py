"""How a worker's process holds the jobs it runs: it says so every half second.

Whoever stays silent has lost its jobs. A job that should stop is told in the answer.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine
from contextvars import ContextVar
from functools import cache
from typing import Any
from uuid import uuid4

from celery.signals import task_postrun, task_prerun
from redis import RedisError

from internal import job_records, logs
from internal.job_records import Outcome
from internal.services.contacts import Progress

RENEW_INTERVAL = 0.5
LOG_INTERVAL = 5.0

_log = logging.getLogger(__name__)


class Lease:
    """The right to run a job, from a successful `take` until `finish`."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.owner = uuid4().hex
        self.verdict = "held"
        """Why the work is to stop: the job is "lost", or to "cancel"."""
        self._progress: Progress | None = None
        self._work: asyncio.Task[Any] | None = None
        self._heard = self._logged = time.monotonic()

    def __enter__(self) -> None:
        """Start to renew the lease."""
        current.set(self)
        _held.add(self)
        _renew_in_background()

    def __exit__(self, *_: object) -> None:
        """Renew it no more."""
        _held.discard(self)
        current.set(None)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do async work, and wait for it; `CancelledError` says that it was stopped."""
        future = asyncio.run_coroutine_threadsafe(self._run(work), event_loop())
        try:
            return future.result()
        except BaseException:
            # The soft time limit interrupts the waiting; a second one may follow the first.
            self._stop()
            raise

    def report(self, progress: Progress) -> None:
        """Show progress in the record, with the next renewal, and now and then in the log."""
        self._progress = progress
        if time.monotonic() - self._logged > LOG_INTERVAL:
            self._logged = time.monotonic()
            _log.info("done %d of %d", progress.done, progress.total)

    def renew(self) -> None:
        """Say that the job is being run, and stop it if it should not be."""
        try:
            verdict = job_records.renew(self.job_id, self.owner, self._progress)
            self._heard = time.monotonic()
        except RedisError:
            verdict = "lost" if self._lapsed() else "held"
        if verdict != self.verdict:
            self.verdict = verdict
            self._stop()

    def finish(self, outcome: Outcome) -> None:
        """Write down how the run ended."""
        while True:
            try:
                known = job_records.finish(self.job_id, self.owner, outcome, self._progress)
                break
            except RedisError:
                # Work must not be done again for want of a note: until then nobody can.
                if self._lapsed():
                    raise
                time.sleep(RENEW_INTERVAL)
        if not known:
            _log.warning("the outcome comes too late: the job is somebody else's")

    def _lapsed(self) -> bool:
        return time.monotonic() - self._heard > job_records.SILENCE

    async def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        self._work = asyncio.current_task()
        if self.verdict != "held":
            work.close()
            raise asyncio.CancelledError
        return await work

    def _stop(self) -> None:
        if self._work:
            event_loop().call_soon_threadsafe(self._work.cancel)


current: ContextVar[Lease | None] = ContextVar("lease", default=None)
"""The lease of the job that is being run."""

_held: set[Lease] = set()


@cache
def event_loop() -> asyncio.AbstractEventLoop:
    """Return the one event loop of this process, which runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="event-loop", daemon=True).start()
    return loop


@cache
def _renew_in_background() -> None:
    threading.Thread(target=_renew, name="leases", daemon=True).start()


def _renew() -> None:
    while True:
        time.sleep(RENEW_INTERVAL)
        for lease in tuple(_held):
            lease.renew()


@task_prerun.connect
def _name_job_in_logs(task_id: str, **_: Any) -> None:
    logs.job_id.set(task_id)


@task_postrun.connect
def _name_no_job_in_logs(**_: Any) -> None:
    logs.job_id.set("")
