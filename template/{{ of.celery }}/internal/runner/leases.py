"""How a worker holds the jobs it runs: it renews their leases every half second, from a thread.

Without a renewal a lease expires, and another worker takes the job; the answer to the next renewal
says so, or carries a cancellation request. While Redis does not answer, jobs go on: in an outage of
Redis nobody else can take them. A job that blocks the event loop beyond its timeout ends the worker.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

from redis import RedisError

from internal.runner import records
from internal.runner.records import Taken
from internal.runner.states import Progress
from internal.runner.watchdog import Watchdog

RENEW_INTERVAL = 0.5
"""The seconds between two renewals."""

GRACE = 30.0
"""A job that blocks the event loop for so long after its timeout ends the process."""

_log = logging.getLogger(__name__)


class Reporting(Protocol):
    """What knows a job's progress."""

    progress: Progress | None


@dataclass(eq=False)
class Held:
    """A job that this worker runs, from a successful `take` until its outcome is written."""

    job_id: str
    kind: str
    timeout: float
    """How long, in seconds, it may run."""
    taken: Taken
    owner: str = field(default_factory=lambda: uuid4().hex)
    status: str = "held"
    """Why the work is to stop: the job is "lost", to "cancel", to "suspend" or to "give back"."""
    reporting: Reporting | None = None
    work: asyncio.Task[Any] | None = None

    @property
    def name(self) -> str:
        """Its kind and its id, for messages."""
        return f"{self.kind} ({self.job_id})"

    @property
    def progress(self) -> Progress | None:
        """How far the job has come."""
        return (self.reporting and self.reporting.progress) or self.taken.progress

    def stop(self, status: str) -> None:
        """Cancel the work, once."""
        if self.status == "held":
            self.status = status
            if self.work:
                self.work.cancel()


class Leases(threading.Thread):
    """Renews the leases of all jobs that an event loop runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name="leases", daemon=True)
        self.held: dict[str, Held] = {}
        self._loop = loop
        self._watchdog = Watchdog(loop, self._name_of)
        self._ended = threading.Event()
        self._redis = records.connect()

    def run(self) -> None:
        """Renew until the end."""
        self._watchdog.start()
        while not self._ended.wait(RENEW_INTERVAL):
            try:
                self._renew(list(self.held.values()))
                self._end_if_stuck()
            except Exception:  # noqa: BLE001 - whatever it is, the next round tries again
                _log.exception("the leases could not be renewed")

    def end(self) -> None:
        """Renew no more."""
        self._ended.set()
        self._watchdog.end()

    def _renew(self, jobs: Collection[Held]) -> None:
        if not jobs:
            return
        commands = [records.renew(job.job_id, job.owner, job.progress) for job in jobs]
        try:
            statuses = records.run_all(commands, self._redis)
        except RedisError as error:
            _log.warning("leases cannot be renewed: %s", error)
            return
        for job, status in zip(jobs, statuses, strict=True):
            if isinstance(status, RedisError):
                _log.warning("the lease of %s cannot be renewed: %s", job.job_id, status)
            elif status != "held":
                self._loop.call_soon_threadsafe(self._stop, job, status)

    def _stop(self, job: Held, status: str) -> None:
        if self.held.get(job.job_id) is job:
            job.stop(status)

    def _end_if_stuck(self) -> None:
        task = asyncio.current_task(self._loop)
        job = self.held.get(task.get_name()) if task else None
        if job and self._watchdog.silence > job.timeout + GRACE:
            _log.critical("%s blocks the event loop: the worker ends", job.name)
            logging.shutdown()
            os._exit(1)

    def _name_of(self, task: asyncio.Task[Any]) -> str | None:
        job = self.held.get(task.get_name())
        return job.name if job else None
