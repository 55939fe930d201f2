"""The base classes of jobs: `Job` for one function, `Workflow` for several durable steps."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import uuid4

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict

from internal.runner.context import JobContext, WorkflowContext

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KIND = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How a job, or each step of a workflow, is run; the defaults suit a small job."""

    timeout: timedelta = timedelta(minutes=5)
    """How long one attempt may take."""

    attempts: int = 10
    """How often it is tried before it has failed, the first time included."""

    first_backoff: timedelta = timedelta(seconds=1)
    """The pause before the second attempt, plus or minus jitter; each further one is doubled."""

    max_backoff: timedelta = timedelta(minutes=5)
    """The longest pause between two attempts, before jitter."""

    deadline: timedelta | None = timedelta(days=30)
    """How long the job may take in all, from the time at which it may begin: with its attempts, the
    pauses between them, and the wait for a free worker. Then it has failed; None for no limit."""

    queue: str = "default"
    """The queue whose workers run it (`WORKER_QUEUES`)."""

    schedule: str | None = None
    """When it is enqueued by itself: a cron expression, in UTC."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for a value that could never work."""
        if self.timeout <= timedelta(0):
            raise ValueError(f"timeout is {self.timeout}: it must be longer than nothing.")
        if self.deadline is not None and self.deadline <= timedelta(0):
            raise ValueError(f"deadline is {self.deadline}: it must be longer than nothing.")
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}: it must be at least 1.")
        if timedelta(0) > self.first_backoff or self.first_backoff > self.max_backoff:
            raise ValueError(
                f"first_backoff is {self.first_backoff}: it must be between 0 and max_backoff,"
                f" which is {self.max_backoff}."
            )
        if not _KIND.fullmatch(self.queue):
            raise ValueError(
                f"queue is {self.queue!r}: use lower-case letters, digits and hyphens."
            )
        if self.schedule is not None:
            check_schedule(self.schedule)


def check_schedule(schedule: str) -> None:
    """Raise `ValueError` if `schedule` is not a cron expression of five fields."""
    try:
        if len(schedule.split()) != 5:
            raise CronSimError("it has five fields")
        CronSim(schedule, EPOCH)
    except CronSimError as error:
        raise ValueError(f"{schedule!r} is no cron expression: {error}.") from error


class Definition(BaseModel):
    """What jobs and workflows have in common: their fields are the input, read-only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    """The stable name: part of the route, the ids and the names in the task runner."""

    policy: ClassVar[Policy] = Policy()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Raise `TypeError` for a class that cannot become a job."""
        super().__pydantic_init_subclass__(**kwargs)
        kind = cls.__dict__.get("kind")
        if kind is not None and not (isinstance(kind, str) and _KIND.fullmatch(kind)):
            raise TypeError(
                f"{cls.__name__}.kind is {kind!r}: use lower-case letters, digits and hyphens."
            )

    def job_id(self, key: str | None, enqueued_by: str | None = None) -> str:
        """Return the job's id: the same kind, client and idempotency key give the same one."""
        # No client has a tilde in its name.
        client = f"{enqueued_by}~" if enqueued_by else ""
        return f"{self.kind}-{client}{key or uuid4().hex}"

    def input(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return self.model_dump(mode="json")


class Job(Definition):
    """A job that is one function: `async def run`, or `def run` for code that blocks.

    Blocking code runs in a thread. It is cancelled, or ended at its timeout, when it next calls
    `ctx.report`; async code at its next `await`.
    """

    def run(self, ctx: JobContext) -> Any:
        """Do the work, and return a result that is JSON or a pydantic model.

        A `PermanentError` fails the job at once; any other exception is retried by the policy, and
        an `Unavailable`, as a database that is away raises it, beyond its `attempts`.
        """
        raise NotImplementedError


class Workflow(Definition):
    """A job of several durable steps: a step that is done is never done again.

    `run` may be run again from its beginning at any moment, with the results of the steps that
    are done. So it must decide the same each time: what depends on a clock, on randomness or on
    input and output belongs into a step, or comes from the context.
    """

    async def run(self, ctx: WorkflowContext) -> Any:
        """Call the steps, and return a result that is JSON or a pydantic model."""
        raise NotImplementedError


def named_jobs(
    jobs: Iterable[Definition] | Mapping[str, Definition],
) -> list[tuple[str | None, Definition]]:
    """Return jobs with their idempotency keys, which only a mapping gives them."""
    if isinstance(jobs, Mapping):
        return [(key, job) for key, job in jobs.items()]
    return [(None, job) for job in jobs]
