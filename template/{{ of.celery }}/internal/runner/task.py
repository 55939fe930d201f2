"""The base class of every Celery task here: each call of it is a job with a record."""

import json
import time
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from celery import Task
from celery.result import AsyncResult

from internal.runner import messages, queues, records
from internal.runner.definitions import Definition
from internal.runner.errors import KeyReused
from internal.runner.records import Record


@dataclass(frozen=True)
class Call:
    """What a native task is called with."""

    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    retries: int = 0

    @property
    def text(self) -> str:
        """Return it for a record."""
        return json.dumps(asdict(self))


@dataclass
class NativeRun:
    """A native task that is running, and what it asks for by Celery's `retry`."""

    job_id: str
    again: Call | None = None
    due: float = 0.0


current_run: ContextVar[NativeRun | None] = ContextVar("native_run", default=None)
"""The native task that is running in this thread."""


class RecordedTask(Task[..., Any]):
    """A task whose every call is a job: listed, cancellable, and sent again when it is lost.

    `delay()` works as ever; the task's id is the job's. A subclass of `celery.Task` is not recorded.
    """

    abstract = True
    native = True
    """Whether Celery runs it; else it is a job of `internal/jobs`."""

    Strategy = "internal.runner.pool:strategy"

    @property
    def kind(self) -> str:
        """The kind under which the API lists it."""
        return str(self.name).rpartition(".")[2]

    def record(self, job_id: str, call: Call, queue: str = queues.DEFAULT) -> Record:
        """Return what is written of a call."""
        return Record(job_id, self.kind, queue, str(self.name), call.text)

    def apply_async(
        self,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        task_id: str | None = None,
        *rest: Any,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Enqueue a job, unless there is one with this id.

        Raises `EngineUnavailable` (as `NotConfirmed` if it may run nevertheless), or `KeyReused` if
        that one was called with something else.
        """
        due = _due(options.pop("countdown", None), options.pop("eta", None))
        call = Call(list(args or ()), dict(kwargs or {}), options.get("retries", 0))
        run = current_run.get()
        if run and run.job_id == task_id:
            run.again, run.due = call, due
            return self.AsyncResult(task_id)
        queue = queues.policy_of(options.pop("queue", None))
        record = self.record(task_id or f"{self.kind}-{uuid4().hex}", call, queue)
        known = records.enqueue(record, due)
        if known is False:
            raise KeyReused(record.id)
        if known is not True or due > time.time():
            return self.AsyncResult(record.id)
        with records.withdrawn_unless_sent(record.id), messages.broker():
            options["queue"] = queues.declaration(queue)
            return super().apply_async(args, kwargs, record.id, *rest, **options)
        return self.AsyncResult(record.id)


def task_name(kind: str) -> str:
    """Return the name of the Celery task that runs a kind of job."""
    return f"jobs.{kind}"


def record_of(job_id: str, job: Definition, enqueued_by: str | None = None) -> Record:
    """Return what is written of a job."""
    text = json.dumps(job.input(), sort_keys=True)
    task = task_name(job.kind)
    return Record(job_id, job.kind, job.policy.queue, task, text, enqueued_by or "")


def _due(countdown: float | None, eta: datetime | None) -> float:
    if countdown:
        return time.time() + countdown
    return eta.timestamp() if eta else 0.0
