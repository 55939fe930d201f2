"""What can go wrong when jobs are enqueued or looked up."""

from collections.abc import Sequence
from typing import ClassVar

from internal.errors import PermanentError
from internal.runner.states import JobInfo


class JobNotFound(LookupError):
    """No job has this id, or what was known of it has expired."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}.")


class JobConflict(Exception):
    """The job's state does not allow what was asked."""

    def __init__(self, job: JobInfo, action: str) -> None:
        super().__init__(f"Job {job.id} is {job.state}: it cannot be {action}.")


class KeyReused(ValueError):
    """The idempotency key belongs to a job with another input, or to one of somebody else."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} was enqueued with another input: use another key for this.")


class EngineUnavailable(ConnectionError):
    """The engine behind the jobs does not answer; the same key may be tried again."""

    retry_after: ClassVar[int] = 5
    """Seconds after which a client may try again."""


class NotConfirmed(EngineUnavailable):
    """The engine may have taken a job or not: the same key gives one job in either case."""

    def __init__(self, job_id: str, reason: object) -> None:
        super().__init__(
            f"It is not known whether job {job_id} was enqueued. {reason}. With the same key it can"
            " be enqueued again, and will run once."
        )


class NotEnqueued(EngineUnavailable):
    """Some jobs of an `enqueue_many` were not enqueued.

    `job_ids` are those of the jobs that may be missing; all others were enqueued.
    """

    def __init__(self, job_ids: Sequence[str], reason: object) -> None:
        self.job_ids = tuple(job_ids)
        super().__init__(f"{len(self.job_ids)} jobs may not have been enqueued: {reason}")


class DeadlineExceeded(PermanentError):
    """The time is over that the job's policy gives it in all."""

    def __init__(self) -> None:
        super().__init__("not done by the deadline of its policy")


class StepFailed(Exception):
    """A step's last attempt failed; the text names the error's type and message."""


class StepFailedForGood(StepFailed, PermanentError):
    """A step raised a `PermanentError`, so it was not retried."""


class NotDeterministic(PermanentError):
    """A workflow's `run` does what can give another result when it is repeated."""
