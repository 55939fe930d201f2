"""Background jobs: what a file of `internal/jobs` needs, and what callers use.

    from internal.runner import Job, JobContext, enqueue

A job is a `Job` or a `Workflow` in a file of `internal/jobs`. Code that enqueues jobs outside of
the API and of a job, such as a script, opens the connection with `async with lifespan():`.
"""

from internal.errors import PermanentError, Unavailable
from internal.runner.calls import cancel, enqueue, enqueue_many, get, lifespan, list_jobs
from internal.runner.client import REQUEST_LIMIT, check, retry
from internal.runner.context import JobContext, WorkflowContext
from internal.runner.definitions import Definition, Job, Policy, Workflow
from internal.runner.errors import (
    EngineUnavailable,
    JobConflict,
    JobNotFound,
    KeyReused,
    NotConfirmed,
    NotEnqueued,
    StepFailed,
)
from internal.runner.states import JobInfo, JobPage, JobState, Progress

__all__ = [
    "REQUEST_LIMIT",
    "Definition",
    "EngineUnavailable",
    "Job",
    "JobConflict",
    "JobContext",
    "JobInfo",
    "JobNotFound",
    "JobPage",
    "JobState",
    "KeyReused",
    "NotConfirmed",
    "NotEnqueued",
    "PermanentError",
    "Policy",
    "Progress",
    "StepFailed",
    "Unavailable",
    "Workflow",
    "WorkflowContext",
    "cancel",
    "check",
    "enqueue",
    "enqueue_many",
    "get",
    "lifespan",
    "list_jobs",
    "retry",
]
