"""The base of tasks that are jobs: recorded, run once per id, cancellable, repaired when lost."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from typing import Any
from uuid import uuid4

from celery import Task, current_app
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded, TimeLimitExceeded
from celery.result import AsyncResult
from celery.signals import worker_process_init
from kombu.exceptions import OperationalError
from redis import RedisError

from internal import job_records, logs
from internal.job_records import Call, Outcome
from internal.job_types import EngineUnavailable, JobState
from internal.services.contacts import Progress
from internal.services.errors import TemporaryError

__all__ = ["RETRIES", "JobTask", "job_id", "report", "run", "send"]

RETRIES: dict[str, Any] = {
    "autoretry_for": (TemporaryError,),
    "max_retries": 5,
    "retry_backoff": 1,  # seconds, doubled each time
    "retry_backoff_max": 300,
    "retry_jitter": True,
}
"""How a job is tried again: only after errors that may pass."""

RENEW_INTERVAL = 0.5
LOG_INTERVAL = 5.0

_log = logging.getLogger(__name__)


class JobTask(Task[..., Any]):
    """A task whose every call is a job with a record; the task's id is the job's."""

    abstract = True
    kind: str

    def apply_async(  # type: ignore[override]
        self,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        task_id: str | None = None,
        *,
        countdown: float | None = None,
        eta: datetime | None = None,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Enqueue a job, unless there is one with this id; raise `EngineUnavailable`.

        `delay()` ends here, and so do Celery's own retries.
        """
        task_id = task_id or f"{self.kind}-{uuid4().hex}"
        ignore_result = options.setdefault("ignore_result", bool(self.ignore_result))
        call = Call(self.kind, self.name, list(args or ()), dict(kwargs or {}), ignore_result)
        options |= {"countdown": countdown, "eta": eta}
        due = time.time() + countdown if countdown else eta.timestamp() if eta else 0.0
        lease = _lease.get()
        if lease and lease.job_id == task_id:
            lease.finish(Outcome(JobState.QUEUED, due=due))
            return self.publish(task_id, call, **options)
        try:
            created = job_records.create(task_id, call, due)
        except RedisError as error:
            raise EngineUnavailable(f"Redis does not answer: {error}") from error
        if not created:
            return self.AsyncResult(task_id)
        try:
            return self.publish(task_id, call, **options)
        except EngineUnavailable:
            job_records.withdraw(task_id)
            raise

    def publish(self, task_id: str, call: Call, **options: Any) -> AsyncResult[Any]:
        """Send the message of a job whose record is written; raise `EngineUnavailable`."""
        options["ignore_result"] = call.ignore_result
        try:
            return super().apply_async(tuple(call.args), call.kwargs, task_id, **options)
        except (OperationalError, OSError, RuntimeError) as error:
            raise EngineUnavailable(f"The broker does not answer: {error}") from error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run a job, if it is this worker's to run."""
        if self.request.called_directly:
            return super().__call__(*args, **kwargs)
        lease = self._take(Call(self.kind, self.name, list(args), kwargs))
        with lease:
            try:
                result = self.run(*args, **kwargs)
            except (Retry, Reject, Ignore):
                raise
            except CancelledError:
                _log.warning("stopped: %s", lease.verdict)
                if lease.verdict == "cancel":
                    lease.finish(Outcome(JobState.CANCELLED))
                raise Ignore from None
            except Exception as error:
                _log.exception("failed")
                lease.finish(Outcome(JobState.FAILED, error=f"{type(error).__name__}: {error}"))
                raise
            lease.finish(Outcome(JobState.SUCCEEDED, result=result))
            return result

    def on_failure(self, exc: Exception, task_id: str, *_: Any) -> None:
        """Record what the main process saw: a run that was killed at its time limit."""
        if isinstance(exc, TimeLimitExceeded):
            job_records.fail(task_id, f"It was stopped at its time limit, after {exc} s.")

    def _take(self, call: Call) -> "_Lease":
        lease = _Lease(str(self.request.id))
        redelivered = (self.request.delivery_info or {}).get("redelivered")
        silence = job_records.SILENCE_WHEN_REDELIVERED if redelivered else job_records.SILENCE
        taken = job_records.take(lease.job_id, lease.owner, silence, call)
        if taken == "running" and redelivered:
            time.sleep(silence)
            taken = job_records.take(lease.job_id, lease.owner, silence, call)
        if taken == "poison":
            raise Reject("its workers died", requeue=False)
        if taken != "taken":
            _log.info("skipped job %s: it is %s", lease.job_id, taken)
            raise Ignore
        return lease


class _Lease:
    """The right to run a job, for as long as it is renewed."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.owner = uuid4().hex
        self.verdict = "held"
        self.progress: Progress | None = None
        self.work: asyncio.Task[Any] | None = None
        self._heard = self._logged = time.monotonic()

    def __enter__(self) -> None:
        self._tokens = _lease.set(self), logs.job_id.set(self.job_id)
        _held.add(self)
        _start_renewing()
        _log.info("started")

    def __exit__(self, *_: object) -> None:
        _held.discard(self)
        _lease.reset(self._tokens[0])
        logs.job_id.reset(self._tokens[1])

    def report(self, progress: Progress) -> None:
        self.progress = progress
        if time.monotonic() - self._logged > LOG_INTERVAL:
            self._logged = time.monotonic()
            _log.info("done %d of %d", progress.done, progress.total)

    def renew(self) -> None:
        try:
            verdict = job_records.renew(self.job_id, self.owner, self.progress)
            self._heard = time.monotonic()
        except RedisError:
            # From now on somebody else may take the job.
            silent = time.monotonic() - self._heard
            verdict = "lost" if silent > job_records.SILENCE else "held"
        if verdict != "held" and self.verdict == "held":
            self.verdict = verdict
            self.stop()

    def stop(self) -> None:
        if self.work:
            _loop().call_soon_threadsafe(self.work.cancel)

    async def hold(self, work: Coroutine[Any, Any, Any]) -> Any:
        self.work = asyncio.current_task()
        if self.verdict != "held":
            work.close()
            raise asyncio.CancelledError
        return await work

    def finish(self, outcome: Outcome) -> None:
        # What was done must not be done again for want of a note: wait for Redis as long
        # as nobody else can take the job.
        while True:
            try:
                if not job_records.finish(self.job_id, self.owner, outcome, self.progress):
                    _log.warning("somebody else has taken the job: its outcome is not recorded")
                break
            except RedisError:
                if time.monotonic() - self._heard > job_records.SILENCE:
                    raise
                time.sleep(RENEW_INTERVAL)
        _log.info("%s", outcome.state.value)


_lease: ContextVar[_Lease | None] = ContextVar("lease", default=None)
_held: set[_Lease] = set()
_main_process: int | None = None


def job_id() -> str:
    """Return the current job's id; it is the key under which external effects are done once."""
    lease = _lease.get()
    return lease.job_id if lease else uuid4().hex


def report(progress: Progress) -> None:
    """Show how far the current job has come."""
    lease = _lease.get()
    if lease:
        lease.report(progress)


def send(job_id: str) -> None:
    """Send the message of a job again; raise `EngineUnavailable`."""
    call = job_records.get_call(job_id)
    task = current_app.tasks[call.task]
    if not isinstance(task, JobTask):
        raise TypeError(f"{call.task} is no JobTask")
    task.publish(job_id, call)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Do the async work of the current job on this process's event loop, and wait for it."""
    lease = _lease.get()
    future = asyncio.run_coroutine_threadsafe(lease.hold(work) if lease else work, _loop())
    try:
        return future.result()
    except SoftTimeLimitExceeded:
        if lease:
            lease.stop()
        raise


@worker_process_init.connect
def _remember_main_process(**_: Any) -> None:
    global _main_process
    _main_process = os.getppid()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="jobs", daemon=True).start()
    return loop


@cache
def _start_renewing() -> None:
    threading.Thread(target=_renew, name="leases", daemon=True).start()


def _renew() -> None:
    while True:
        time.sleep(RENEW_INTERVAL)
        if _main_process not in (None, os.getppid()):
            # Celery lets a child whose worker was killed run to its task's end; its
            # message is on the way to another worker.
            os._exit(1)
        for lease in tuple(_held):
            lease.renew()
