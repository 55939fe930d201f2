"""What a job is: its request, its state, and what can go wrong with it."""

from enum import StrEnum
from typing import ClassVar
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, EmailStr, Field, JsonValue

from internal.services.contacts import Progress


class JobState(StrEnum):
    """Where a job is in its life; the last three are final until someone retries."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(BaseModel):
    """A job as its owner sees it."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    state: JobState
    progress: Progress | None = None
    result: JsonValue = None
    error: str | None = None


class JobRequest(BaseModel):
    """What a job is asked to do; a subclass for each kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]

    def job_id(self, key: str | None) -> str:
        """Name the job: the same idempotency key gives the same id."""
        return f"{self.kind}-{key or uuid4().hex}"


class SendEmail(JobRequest):
    """Send one e-mail."""

    kind = "email"

    to: EmailStr
    subject: str = Field(min_length=1, max_length=200, pattern=r"^[^\r\n]*$")
    body: str = Field(default="", max_length=100_000)


class ImportContacts(JobRequest):
    """Import a CSV file with the columns `email` and `name`."""

    kind = "import"

    file: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^./\\\x00][^/\\\x00]*$",
        description="The name of a file in the imports folder.",
    )


class CleanUp(JobRequest):
    """Remove outbox files and records that are past their retention."""

    kind = "cleanup"


class JobNotFound(LookupError):
    """No job has this id, or its record has expired."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}.")


class JobConflict(Exception):
    """The job's state does not allow what was asked."""

    def __init__(self, job: Job, action: str) -> None:
        super().__init__(f"Job {job.id} is {job.state}: it cannot be {action}.")


class EngineUnavailable(ConnectionError):
    """The engine behind the jobs does not answer; nothing was enqueued."""

    retry_after: ClassVar[int] = 5
    """Seconds after which a client may try again."""
