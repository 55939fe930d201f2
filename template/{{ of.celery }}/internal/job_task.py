"""The base of tasks that are jobs: recorded, run once per id, cancellable, repaired when lost."""

import logging
import math
import time
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

from celery import Task, current_app
from celery.exceptions import Ignore, Reject, TaskPredicate, TimeLimitExceeded
from celery.result import AsyncResult
from kombu.exceptions import OperationalError
from redis import RedisError

from internal import job_lease, job_records
from internal.job_lease import Lease
from internal.job_records import Call, Outcome
from internal.job_types import EngineUnavailable, JobState
from internal.services.contacts import Progress
from internal.services.errors import TemporaryError

RETRIES: dict[str, Any] = {
    "autoretry_for": (TemporaryError,),
    "max_retries": 5,
    "retry_backoff": 1,  # seconds, doubled each time
    "retry_backoff_max": 300,
    "retry_jitter": True,
}
"""How a job is tried again: only after errors that may pass."""

_log = logging.getLogger(__name__)


def job_id() -> str:
    """Return the current job's id: the key under which external effects are done once."""
    lease = job_lease.current.get()
    return lease.job_id if lease else uuid4().hex


def report(progress: Progress) -> None:
    """Show how far the current job has come."""
    lease = job_lease.current.get()
    if lease:
        lease.report(progress)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Do async work of the current job, and return its result."""
    lease = job_lease.current.get() or Lease("")
    return lease.run(work)


class JobTask(Task[..., Any]):
    """A task whose every call is a job with a record; the task's id is the job's."""

    abstract = True
    kind: str

    def apply_async(
        self,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        task_id: str | None = None,
        *rest: Any,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Enqueue a job, unless there is one with this id; raise `EngineUnavailable`.

        `delay()` ends here, and so do Celery's own retries.
        """
        due = _due(options.get("countdown"), options.get("eta"))
        longest = self.app.conf.broker_transport_options.get("visibility_timeout", math.inf)
        if due > time.time() + longest:
            raise ValueError(f"A job may be sent {longest:.0f} s ahead, no longer.")
        task_id = task_id or f"{self.kind}-{uuid4().hex}"
        ignore_result = options.setdefault("ignore_result", bool(self.ignore_result))
        call = Call(self.kind, self.name, list(args or ()), dict(kwargs or {}), ignore_result)
        lease = job_lease.current.get()
        if lease and lease.job_id == task_id:
            lease.finish(Outcome(JobState.QUEUED, due=due))
            return self.send(task_id, call, *rest, **options)
        try:
            if not job_records.create(task_id, call, due):
                return self.AsyncResult(task_id)
        except RedisError as error:
            raise EngineUnavailable(f"Redis does not answer: {error}") from error
        try:
            return self.send(task_id, call, *rest, **options)
        except Exception:
            with suppress(RedisError):
                job_records.withdraw(task_id)
            raise

    def send(self, task_id: str, call: Call, *rest: Any, **options: Any) -> AsyncResult[Any]:
        """Send the message of a job that has its record; raise `EngineUnavailable`."""
        options["ignore_result"] = call.ignore_result
        try:
            return super().apply_async(tuple(call.args), call.kwargs, task_id, *rest, **options)
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
            except TaskPredicate:  # a retry, say, which is not the job's end
                raise
            except CancelledError:
                _log.warning("stopped: the job is %s", lease.verdict)
                if lease.verdict == "cancel":
                    lease.finish(Outcome(JobState.CANCELLED))
                raise Ignore from None
            except SystemExit:
                # The worker is told to stop and cannot wait: the next one may begin at once.
                lease.finish(Outcome(JobState.QUEUED, due=time.time()))
                raise
            except Exception as error:
                lease.finish(Outcome(JobState.FAILED, error=f"{type(error).__name__}: {error}"))
                raise
            lease.finish(Outcome(JobState.SUCCEEDED, result=result))
            return result

    def on_failure(self, exc: Exception, task_id: str, *_: Any) -> None:
        """Write down what only the main process sees: a run that was killed at its time limit."""
        if isinstance(exc, TimeLimitExceeded):
            job_records.fail(task_id, "It was killed at its time limit.")

    def _take(self, call: Call) -> Lease:
        lease = Lease(str(self.request.id))
        redelivered = (self.request.delivery_info or {}).get("redelivered")
        silence = job_records.SILENCE_WHEN_REDELIVERED if redelivered else job_records.SILENCE
        state = job_records.take(lease.job_id, lease.owner, silence, call)
        if state == "running" and redelivered:
            time.sleep(silence)
            state = job_records.take(lease.job_id, lease.owner, silence, call)
        if state == "poison":
            raise Reject("workers died of it", requeue=False)
        if state != "taken":
            _log.info("skipped: the job is %s", state)
            raise Ignore
        return lease


def send_again(job_id: str) -> None:
    """Send another message of a job; raise `EngineUnavailable`."""
    call = job_records.get_call(job_id)
    task: Any = current_app.tasks[call.task]
    task.send(job_id, call)


def _due(countdown: float | None, eta: datetime | None) -> float:
    if countdown:
        return time.time() + countdown
    return eta.timestamp() if eta else 0.0
