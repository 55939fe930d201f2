"""What is known of a job after it was enqueued."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, JsonValue


class JobState(StrEnum):
    """Where a job is in its life; the last three are final until somebody retries it."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class Progress(BaseModel):
    """How far a long job has come, in units of its own, such as rows."""

    model_config = ConfigDict(frozen=True)

    done: int
    total: int


class JobInfo(BaseModel):
    """A job's state, its progress, and its result or its error."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    state: JobState
    progress: Progress | None = None
    result: JsonValue = None
    enqueued_by: str | None = None
    """The client of the API that it belongs to; none if code or a schedule enqueued it."""
    error: str | None = None
    """Why the job failed or, while it has not ended, why its last attempt did."""


@dataclass(frozen=True)
class JobQuery:
    """Which jobs a list is to have; None leaves out none."""

    state: JobState | None
    kind: str | None
    limit: int
    cursor: str | None


class JobPage(BaseModel):
    """A part of a list of jobs, the newest first."""

    model_config = ConfigDict(frozen=True)

    jobs: list[JobInfo]
    cursor: str | None = None
    """What asks for the next page; None on the last one."""
